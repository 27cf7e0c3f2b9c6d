/** Renewed certificates of a running control-plane node: everything that shows one is told of the next. */
import type { NodeIdentity } from "#cluster/identity.ts";
import type { NodePki } from "#cluster/pki.ts";
import { ensureNodePki } from "#cluster/pki.ts";
import type { ReplicaHandle } from "#replica/types.ts";
import type { NodeEtcdApi } from "./etcd-api.ts";
import type { NodeComponents } from "./node-components.ts";

/** The keys that are in use. Whoever connects looks here each time. */
export interface PresentPki {
  pki: NodePki;
}

export interface NodeRenewalOptions {
  dataDir: string;
  identity: NodeIdentity;
  present: PresentPki;
  api: { setCertificate(cert: string, key: string): void };
  replica: Pick<ReplicaHandle, "setTls">;
  /** Absent until it is served. */
  etcdApi?: NodeEtcdApi;
  /** Absent where the API runs alone. */
  components?: NodeComponents;
  /** Writes the administrator's kubeconfig. */
  writeKubeconfig(pki: NodePki): void;
}

const leaves = ["apiServer", "apiClient", "agent", "peer", "admin"] as const;

/** Connections that exist go on with what they were made with. Returns what was renewed. */
export async function renewNode(options: NodeRenewalOptions, nowMs: number): Promise<string[]> {
  const { present, api, replica, components, etcdApi } = options;
  const next = await ensureNodePki(options.dataDir, options.identity, nowMs);
  const renewed: string[] = leaves.filter((leaf) => next[leaf].certificate !== present.pki[leaf].certificate);
  if (renewed.length > 0) {
    api.setCertificate(apiChain(next), next.apiServer.key);
    components?.setAgentCertificate(next.agent);
    options.writeKubeconfig(next);
    await replica.setTls(peerTls(next));
    // Last: what could not be told of them is told the next time.
    present.pki = next;
  }
  return (await etcdApi?.renew(nowMs)) === true ? [...renewed, "etcdApi"] : renewed;
}

/** The authority goes along, so that a joining node can check its fingerprint. */
export function apiChain(pki: NodePki): string {
  return pki.apiServer.certificate + pki.authorities.cluster.certificate;
}

export function peerTls(pki: NodePki): { ca: string; cert: string; key: string } {
  return { ca: pki.authorities.peer.certificate, cert: pki.peer.certificate, key: pki.peer.key };
}
