/** The rules about what a node can hold: host ports and resources. */
import { requestsOfPod } from "./node-info.ts";
import type { FilterPlugin, Pod } from "./types.ts";

interface HostPort {
  ip: string;
  protocol: string;
  port: number;
}

export const nodePorts: FilterPlugin = {
  name: "NodePorts",
  prepare(pod) {
    const wanted = hostPorts(pod);
    if (wanted.length === 0) return undefined;
    return {
      filter({ pods }) {
        const taken = pods.flatMap(hostPorts);
        const conflict = wanted.some((each) => taken.some((other) => collides(each, other)));
        if (!conflict) return undefined;
        return { reasons: ["node(s) didn't have free ports for the requested pod ports"], resolvable: true };
      },
    };
  },
};

export const nodeResourcesFit: FilterPlugin = {
  name: "NodeResourcesFit",
  prepare(pod) {
    const wanted = Object.entries(requestsOfPod(pod)).filter(([, amount]) => amount > 0);
    return {
      filter({ allocatable, requested }) {
        let reasons: string[] | undefined;
        if ((requested["pods"] ?? 0) + 1 > (allocatable["pods"] ?? 0)) reasons = ["Too many pods"];
        for (const [name, amount] of wanted) {
          const free = (allocatable[name] ?? 0) - (requested[name] ?? 0);
          if (amount > free) (reasons ??= []).push(`Insufficient ${name}`);
        }
        return reasons === undefined ? undefined : { reasons, resolvable: true };
      },
    };
  },
};

export function hostPorts(pod: Pod): HostPort[] {
  const sidecars = (pod.spec.initContainers ?? []).filter(
    (each) => (each as { restartPolicy?: string }).restartPolicy === "Always",
  );
  return [...pod.spec.containers, ...sidecars].flatMap((container) =>
    (container.ports ?? [])
      .filter((each) => (each.hostPort ?? 0) > 0)
      .map((each) => ({
        ip: each.hostIP === undefined || each.hostIP === "" ? "0.0.0.0" : each.hostIP,
        protocol: each.protocol ?? "TCP",
        port: each.hostPort ?? 0,
      })),
  );
}

function collides(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.ip === b.ip || a.ip === "0.0.0.0" || b.ip === "0.0.0.0";
}
