import assert from "node:assert/strict";
import { test } from "node:test";
import { makeNodeInfo } from "./node-info.ts";
import { schedule } from "./schedule.ts";
import type { Node, Pod, Snapshot } from "./types.ts";

interface PodOptions {
  cpu?: string;
  priority?: number;
  labels?: Record<string, string>;
  spec?: object;
}

function pod(name: string, { cpu = "1", priority = 0, labels = {}, spec = {} }: PodOptions = {}): Pod {
  const containers = [{ name: "c", image: "img:1", resources: { requests: { cpu } } }];
  return {
    metadata: { name, uid: name, namespace: "default", labels },
    spec: { containers, priority, ...spec },
    status: {},
  } as unknown as Pod;
}

function node(name: string, part: { labels?: object; spec?: object; cpu?: string } = {}): Node {
  return {
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...part.labels } },
    spec: { ...part.spec },
    status: { allocatable: { cpu: part.cpu ?? "4", memory: "8Gi", pods: "10" } },
  } as unknown as Node;
}

function snapshot(...nodes: [Node, ...Pod[]][]): Snapshot {
  return {
    nodes: nodes.map(([each, ...running]) => makeNodeInfo(each, running)),
    repels: true,
    wishes: true,
    tallies: new Map(),
    claim: () => undefined,
    volume: () => undefined,
    volumesOfClass: () => [],
    storageClass: () => undefined,
    csiNode: () => undefined,
    namespaceLabels: () => ({}),
    disruptionBudgets: () => [],
    siblings: () => undefined,
  };
}

/** The node, or the message. */
function decide(each: Pod, where: Snapshot): string {
  const decision = schedule(each, where, () => 0);
  if (decision.type === "bind") return decision.nodeName;
  const { preemption } = decision;
  if (preemption === undefined) return decision.message;
  return `${preemption.nodeName} without ${preemption.victims.map((victim) => victim.metadata.name).join(",")}`;
}

const taint = { taints: [{ key: "k", value: "v", effect: "NoSchedule" }] };

const cases: [name: string, pod: Pod, snapshot: Snapshot, expected: string][] = [
  ["the emptier node", pod("p"), snapshot([node("a"), pod("x")], [node("b")]), "b"],
  ["no nodes", pod("p"), snapshot(), "no nodes available to schedule pods"],
  [
    "each node's first objection is counted",
    pod("p", { cpu: "5" }),
    snapshot([node("a")], [node("b", { spec: taint })], [node("c", { spec: { unschedulable: true } })]),
    "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable. preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.",
  ],
  [
    "a missing claim fails everywhere",
    pod("p", { spec: { volumes: [{ name: "v", persistentVolumeClaim: { claimName: "nope" } }] } }),
    snapshot([node("a")]),
    '0/1 nodes are available: persistentvolumeclaim "nope" not found. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.',
  ],
  [
    "the least important victims go, and only as many as needed",
    pod("p", { cpu: "2", priority: 10 }),
    snapshot([node("a"), pod("x", { cpu: "2", priority: 5 }), pod("y", { cpu: "2", priority: 1 })]),
    "a without y",
  ],
  [
    "whoever never preempts waits",
    pod("p", { cpu: "4", priority: 10, spec: { preemptionPolicy: "Never" } }),
    snapshot([node("a"), pod("x", { cpu: "2" })]),
    "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
  ],
  [
    "anti-affinity keeps apart",
    pod("p", {
      labels: { app: "w" },
      spec: {
        affinity: {
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "w" } } },
            ],
          },
        },
      },
    }),
    snapshot([node("a"), pod("x", { labels: { app: "w" } })], [node("b"), pod("y"), pod("z")]),
    "b",
  ],
  [
    "spreading counts domains",
    pod("p", {
      labels: { app: "w" },
      spec: {
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: "zone",
            whenUnsatisfiable: "DoNotSchedule",
            labelSelector: { matchLabels: { app: "w" } },
          },
        ],
      },
    }),
    snapshot(
      [node("a", { labels: { zone: "1" } }), pod("x", { labels: { app: "w" } })],
      [node("b", { labels: { zone: "2" } }), pod("y"), pod("z"), pod("u")],
    ),
    "b",
  ],
];

for (const [name, each, where, expected] of cases) {
  test(name, () => assert.equal(decide(each, where), expected));
}
