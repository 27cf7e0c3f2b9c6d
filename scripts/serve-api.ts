/**
 * The API server alone, on loopback, over the memory backend: what the recorded conversations are
 * replayed against. Prints the path of an administrator's kubeconfig (JSON) and serves until it is
 * killed.
 *
 *   node scripts/serve-api.ts [--port P] [--dir D] [--service-cidr C]
 */
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createApiServer } from "#api/server.ts";
import type { AgentDialer } from "#api/options.ts";
import type { ApiServer } from "#api/server.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import type { Logger } from "#base/ports.ts";
import { systemClock, systemRandom } from "#client/system-clock.ts";
import { createAuthority, issue } from "#cluster/certificates.ts";
import type { KeyAndCertificate } from "#cluster/certificates.ts";
import { allKinds } from "#kinds/all.ts";

export interface ApiOnly {
  api: ApiServer;
  url: string;
  kubeconfigPath: string;
  authority: KeyAndCertificate;
  close(): Promise<void>;
}

export async function startApiOnly(options: {
  directory: string;
  port: number;
  serviceCidr: string;
  /** Default: none, so that no node's agent can be reached. */
  agentDialer?: AgentDialer;
}): Promise<ApiOnly> {
  const authority = await createAuthority("trivet-test", 2);
  const hosts = ["127.0.0.1", "localhost"];
  const server = await issue(authority, {
    commonName: "kube-apiserver",
    hosts,
    usages: ["server"],
    validDays: 1,
  });
  const admin = await issue(authority, {
    commonName: "kubernetes-admin",
    organizations: ["system:masters"],
    hosts: [],
    usages: ["client"],
    validDays: 1,
  });
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const backend = new MemoryBackend();
  const api = createApiServer({
    backend,
    kinds: allKinds,
    clock: systemClock,
    random: systemRandom,
    logger: standardErrorLogger,
    serviceCidr: options.serviceCidr,
    ...(options.agentDialer === undefined ? {} : { agentDialer: options.agentDialer }),
    serviceAccounts: {
      issuer: "https://kubernetes.default.svc.cluster.local",
      privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    },
  });
  const listener = await api.listen({
    host: "127.0.0.1",
    port: options.port,
    cert: server.certificate,
    key: server.key,
    clientCa: authority.certificate,
  });
  const url = `https://127.0.0.1:${listener.address.port}`;
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const kubeconfig = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "trivet",
    contexts: [{ name: "trivet", context: { cluster: "trivet", user: "kubernetes-admin" } }],
    clusters: [
      {
        name: "trivet",
        cluster: { server: url, "certificate-authority-data": base64(authority.certificate) },
      },
    ],
    users: [
      {
        name: "kubernetes-admin",
        user: {
          "client-certificate-data": base64(admin.certificate),
          "client-key-data": base64(admin.key),
        },
      },
    ],
  };
  mkdirSync(options.directory, { recursive: true });
  const kubeconfigPath = join(options.directory, "kubeconfig.json");
  writeFileSync(kubeconfigPath, JSON.stringify(kubeconfig), { mode: 0o600 });
  return {
    api,
    url,
    kubeconfigPath,
    authority,
    async close() {
      await api.close();
      await backend.close();
    },
  };
}

function log(level: string): (message: string, fields?: Record<string, unknown>) => void {
  return (message, fields) => {
    process.stderr.write(`${JSON.stringify({ level, message, ...fields })}\n`);
  };
}

const standardErrorLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: log("warn"),
  error: log("error"),
};

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "0" },
      dir: { type: "string" },
      "service-cidr": { type: "string", default: "10.96.0.0/16" },
    },
  });
  const running = await startApiOnly({
    directory: values.dir ?? mkdtempSync(join(tmpdir(), "trivet-api-")),
    port: Number(values.port),
    serviceCidr: values["service-cidr"],
  });
  process.stdout.write(`${JSON.stringify({ url: running.url, kubeconfig: running.kubeconfigPath })}\n`);
  process.once("SIGTERM", () => void running.close().then(() => process.exit(0)));
  process.once("SIGINT", () => void running.close().then(() => process.exit(0)));
}
