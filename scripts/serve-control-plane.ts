/**
 * The API server and the control loops in one process, over the memory backend, without any agent: what
 * the recorded outcomes of controllers and scheduler are replayed against. Prints the path of an
 * administrator's kubeconfig (JSON) and serves until it is killed.
 *
 *   node scripts/serve-control-plane.ts [--port P] [--dir D] [--service-cidr C] [--verbose] [--lead-on-signal]
 *
 * --lead-on-signal: the control loops begin at the first SIGUSR2, end at the second, and so on.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Logger } from "#base/ports.ts";
import { policyTypeWarnings } from "#api/cel/policy-types.ts";
import { createClient } from "#client/client.ts";
import { systemClock, systemRandom } from "#client/system-clock.ts";
import { readRequest, signAsRequested } from "#cluster/certificate-requests.ts";
import { startManager } from "#manager/manager.ts";
import { startApiOnly } from "./serve-api.ts";

export interface ControlPlane {
  url: string;
  kubeconfigPath: string;
  close(): Promise<void>;
}

export async function startControlPlane(options: {
  directory: string;
  port: number;
  serviceCidr: string;
  verbose: boolean;
  /** Is given what begins or ends the control loops. Default: they begin at once. */
  leadership?: (lead: (leading: boolean) => void) => void;
}): Promise<ControlPlane> {
  const { api, url, kubeconfigPath, authority, close } = await startApiOnly(options);
  const client = createClient({
    transport: api.handler,
    userAgent: "trivet-manager",
    user: { name: "system:kube-controller-manager", groups: ["system:masters", "system:authenticated"] },
  });
  const manager = startManager({
    client,
    onLeadership(callback) {
      const lead = (leading: boolean): void => callback({ leading, term: 1 });
      if (options.leadership === undefined) lead(true);
      else options.leadership(lead);
      return () => undefined;
    },
    clock: systemClock,
    random: systemRandom,
    logger: logger(options.verbose),
    nodeName: "control-plane",
    clusterCidr: "10.32.0.0/12",
    serviceCidr: options.serviceCidr,
    checkPolicyTypes: (policy) => policyTypeWarnings(api.registry, policy),
    rootCa: authority.certificate,
    certificates: { read: readRequest, sign: (request) => signAsRequested(authority, request) },
  });
  return {
    url,
    kubeconfigPath,
    async close() {
      await manager.close();
      await close();
    },
  };
}

function logger(verbose: boolean): Logger {
  const write = (level: string) => (message: string, fields?: Record<string, unknown>) => {
    console.error(level, message, fields === undefined ? "" : JSON.stringify(fields));
  };
  const nothing = (): void => undefined;
  return {
    debug: verbose ? write("debug") : nothing,
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
  };
}

function turnedBySignal(lead: (leading: boolean) => void): void {
  let leading = false;
  process.on("SIGUSR2", () => lead((leading = !leading)));
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "0" },
      dir: { type: "string" },
      "service-cidr": { type: "string", default: "10.96.0.0/16" },
      verbose: { type: "boolean", default: false },
      "lead-on-signal": { type: "boolean", default: false },
    },
  });
  const plane = await startControlPlane({
    directory: values.dir ?? mkdtempSync(join(tmpdir(), "trivet-control-plane-")),
    port: Number(values.port),
    serviceCidr: values["service-cidr"],
    verbose: values.verbose,
    ...(values["lead-on-signal"] ? { leadership: turnedBySignal } : {}),
  });
  console.log(plane.kubeconfigPath);
}
