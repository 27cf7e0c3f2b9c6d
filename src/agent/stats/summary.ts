/** /stats/summary: what the node and its pods use, in kubelet's form. */
import { cpus } from "node:os";
import type { AgentContext } from "../context.ts";
import type { ContainerStats } from "../cri/messages.ts";
import { podNameLabel, podNamespaceLabel, podUidLabel, containerNameLabel } from "../cri/labels.ts";
import { readLoad } from "../node/machine.ts";
import { timestamp } from "../plan/timestamp.ts";

const number = (value: { value: string } | null | undefined) => Number(value?.value ?? 0);

export async function statsSummary(context: AgentContext, nodeName: string): Promise<unknown> {
  const stats = await context.runtime.containerStats();
  const load = await readLoad(context.paths.dataDir);
  const now = timestamp(context.clock.nowMs());
  const byPod = new Map<string, ContainerStats[]>();
  for (const each of stats) {
    const uid = each.attributes.labels[podUidLabel] ?? "";
    byPod.set(uid, [...(byPod.get(uid) ?? []), each]);
  }
  const busyMs = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  return {
    node: {
      nodeName,
      cpu: { time: now, usageCoreNanoSeconds: busyMs * 1_000_000 },
      memory: {
        time: now,
        availableBytes: load.availableMemoryBytes,
        workingSetBytes: context.memoryCapacityBytes - load.availableMemoryBytes,
      },
    },
    pods: [...byPod.values()].map((containers) => {
      const labels = containers[0]!.attributes.labels;
      return {
        podRef: {
          name: labels[podNameLabel],
          namespace: labels[podNamespaceLabel],
          uid: labels[podUidLabel],
        },
        cpu: {
          time: now,
          usageCoreNanoSeconds: total(containers, (each) => number(each.cpu?.usageCoreNanoSeconds)),
        },
        memory: {
          time: now,
          workingSetBytes: total(containers, (each) => number(each.memory?.workingSetBytes)),
        },
        containers: containers.map((each) => ({
          name: each.attributes.labels[containerNameLabel],
          cpu: { time: now, usageCoreNanoSeconds: number(each.cpu?.usageCoreNanoSeconds) },
          memory: {
            time: now,
            workingSetBytes: number(each.memory?.workingSetBytes),
            usageBytes: number(each.memory?.usageBytes),
            rssBytes: number(each.memory?.rssBytes),
          },
          rootfs: { time: now, usedBytes: number(each.writableLayer?.usedBytes) },
        })),
      };
    }),
  };
}

function total(list: readonly ContainerStats[], value: (each: ContainerStats) => number): number {
  return list.reduce((sum, each) => sum + value(each), 0);
}
