/**
 * UDP has no connections that end: a client that keeps sending from one port stays with the endpoint that
 * connection tracking chose for it, even when that endpoint is gone. So the entries of endpoints that went,
 * and of Services that had been without any, are deleted, if the host has the `conntrack` tool.
 */
import type { RunCommand } from "./command.ts";
import type { ServicePort } from "./service-port.ts";

/** UDP flows to one Service address (or node port), those to one endpoint, or all of them. */
export interface StaleFlows {
  /** Undefined for a node port. */
  serviceIP: string | undefined;
  port: number;
  endpointIP: string | undefined;
}

export function staleFlows(before: readonly ServicePort[], after: readonly ServicePort[]): StaleFlows[] {
  const afterById = new Map(after.map((port) => [port.id, port]));
  const stale: StaleFlows[] = [];
  for (const old of before) {
    if (old.protocol !== "udp") continue;
    const now = afterById.get(old.id);
    const kept = new Set(now?.endpoints.map(({ ip, port }) => `${ip}:${port}`));
    const gone = new Set(
      old.endpoints.filter(({ ip, port }) => !kept.has(`${ip}:${port}`)).map(({ ip }) => ip),
    );
    const targets: (string | undefined)[] = [...gone];
    if (old.endpoints.length === 0 && kept.size > 0) targets.push(undefined);
    for (const endpointIP of targets) {
      for (const serviceIP of [old.clusterIP, ...old.externalIPs, ...old.loadBalancerIPs])
        stale.push({ serviceIP, port: old.port, endpointIP });
      if (old.nodePort !== undefined) stale.push({ serviceIP: undefined, port: old.nodePort, endpointIP });
    }
  }
  return stale;
}

export async function flushStaleFlows(run: RunCommand, flows: readonly StaleFlows[]): Promise<void> {
  for (const { serviceIP, port, endpointIP } of flows) {
    const args = ["-D", "-p", "udp", "--orig-port-dst", String(port)];
    if (serviceIP !== undefined) args.push("--orig-dst", serviceIP);
    if (endpointIP !== undefined) args.push("--dst-nat", endpointIP);
    try {
      await run("conntrack", args);
    } catch (error) {
      const text = String(error);
      if (/ENOENT/.test(text)) return; // the tool is not installed: the entries time out by themselves
      if (!/0 flow entries/.test(text)) throw error;
    }
  }
}
