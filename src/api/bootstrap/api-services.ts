/** An APIService for every group and version that this server serves by itself. */
import type { KubeObject } from "#kinds/object.ts";
import { groupPriorities } from "../discovery/group-priorities.ts";
import type { BootstrapObjects } from "./bootstrap.ts";

/** Among the versions of a group; those that upstream gives another one than most. */
const versionPriorities: Readonly<Record<string, number>> = {
  "v1.": 1,
  "v1.flowcontrol.apiserver.k8s.io": 21,
  "v2.autoscaling": 30,
};
const ordinaryVersionPriority = 15;

export function apiServices(
  served: Iterable<{ group: string; version: string }>,
  now: string,
): BootstrapObjects {
  const byName = new Map<string, KubeObject>();
  for (const { group, version } of served) {
    const groupPriorityMinimum = groupPriorities.get(group) ?? 0;
    const name = `${version}.${group}`;
    if (groupPriorityMinimum === 0 || byName.has(name)) continue;
    byName.set(name, {
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name, labels: { "kube-aggregator.kubernetes.io/automanaged": "onstart" } },
      spec: {
        ...(group === "" ? {} : { group }),
        version,
        groupPriorityMinimum,
        versionPriority: versionPriorities[name] ?? ordinaryVersionPriority,
      },
      status: {
        conditions: [
          {
            type: "Available",
            status: "True",
            lastTransitionTime: now,
            reason: "Local",
            message: "Local APIServices are always available",
          },
        ],
      },
    });
  }
  return {
    group: "apiregistration.k8s.io",
    version: "v1",
    plural: "apiservices",
    objects: [...byName.values()],
  };
}
