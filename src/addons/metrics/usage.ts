/**
 * From counters to rates: two readings of a node's /stats/summary become NodeMetrics and PodMetrics.
 * Pure. CPU time is a counter, so a value needs two readings of the same container; a counter that went
 * back is another container's.
 */
import type { NodeMetricsObject, ResourceUsage } from "#kinds/node-metrics.ts";
import type { ObjectMeta } from "#kinds/object.ts";
import type { PodMetricsObject } from "#kinds/pod-metrics.ts";

/** What is read of kubelet's /stats/summary. */
export interface StatsSummary {
  node?: Stats;
  pods?: {
    podRef?: { name?: string; namespace?: string; uid?: string };
    containers?: (Stats & { name?: string })[];
  }[];
}

interface Stats {
  cpu?: { usageCoreNanoSeconds?: number };
  memory?: { workingSetBytes?: number };
}

/** One summary and when it was read. */
export interface Reading {
  summary: StatsSummary;
  /** Milliseconds since the epoch. */
  timeMs: number;
  /** Of a clock that never goes back: what the window is measured with. */
  monotonicMs: number;
}

/** Undefined while a value is missing. */
export function nodeMetricsOf(
  metadata: ObjectMeta,
  before: Reading,
  now: Reading,
): NodeMetricsObject | undefined {
  const usage = usageOf(before.summary.node, now.summary.node, windowMs(before, now));
  if (usage === undefined) return undefined;
  const head = { kind: "NodeMetrics", apiVersion: "metrics.k8s.io/v1beta1" };
  return { ...head, metadata: metadataOf(metadata, now), ...times(before, now), usage };
}

/** The pods of a node all of whose containers have values. `metadata` gives a pod's labels by its uid. */
export function podMetricsOf(
  metadata: (uid: string) => ObjectMeta | undefined,
  before: Reading,
  now: Reading,
): PodMetricsObject[] {
  const earlier = new Map((before.summary.pods ?? []).map((each) => [each.podRef?.uid, each]));
  const result: PodMetricsObject[] = [];
  for (const { podRef, containers = [] } of now.summary.pods ?? []) {
    const known = metadata(podRef?.uid ?? "");
    if (known === undefined) continue;
    const old = earlier.get(podRef?.uid)?.containers ?? [];
    const measured = containers.flatMap((each) => {
      const usage = usageOf(
        old.find(({ name }) => name === each.name),
        each,
        windowMs(before, now),
      );
      return usage === undefined ? [] : [{ name: each.name ?? "", usage }];
    });
    if (measured.length === 0 || measured.length < containers.length) continue;
    const head = { kind: "PodMetrics", apiVersion: "metrics.k8s.io/v1beta1" };
    result.push({
      ...head,
      metadata: metadataOf(known, now),
      ...times(before, now),
      containers: measured,
    });
  }
  return result;
}

function usageOf(
  before: Stats | undefined,
  now: Stats | undefined,
  window: number,
): ResourceUsage | undefined {
  const start = before?.cpu?.usageCoreNanoSeconds;
  const end = now?.cpu?.usageCoreNanoSeconds;
  const memory = now?.memory?.workingSetBytes;
  if (start === undefined || end === undefined || memory === undefined) return undefined;
  if (end < start || window <= 0) return undefined;
  return {
    cpu: `${Math.round(((end - start) * 1000) / window)}n`,
    memory: `${Math.round(memory / 1024)}Ki`,
  };
}

function windowMs(before: Reading, now: Reading): number {
  return now.monotonicMs - before.monotonicMs;
}

function times(before: Reading, now: Reading): { timestamp: string; window: string } {
  return { timestamp: seconds(now.timeMs), window: `${Number((windowMs(before, now) / 1000).toFixed(3))}s` };
}

function metadataOf({ name, namespace, labels }: ObjectMeta, now: Reading): ObjectMeta {
  return {
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    creationTimestamp: seconds(now.timeMs),
    ...(labels === undefined ? {} : { labels }),
  };
}

/** RFC 3339 with whole seconds. */
function seconds(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19)}Z`;
}
