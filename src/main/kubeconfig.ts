/** The administrator's kubeconfig of a node. */
import { formatKubeconfig } from "#client/kubeconfig.ts";
import { kubeconfigHeader } from "#cli/up.ts";
import { writePrivateFile } from "#cluster/files.ts";
import type { NodePki } from "#cluster/pki.ts";

export function writeKubeconfig(path: string, server: string, pki: NodePki): void {
  const text = formatKubeconfig({
    name: "trivet",
    user: "kubernetes-admin",
    server,
    ca: pki.authorities.cluster.certificate,
    cert: pki.admin.certificate,
    key: pki.admin.key,
  });
  writePrivateFile(path, `${kubeconfigHeader}\n${text}`);
}
