/**
 * The health of nodes: a node whose agent falls silent becomes NotReady, and taints follow the node's
 * conditions. Contact is judged by this process's own clock since it last saw the lease or the heartbeat
 * change, so that nodes with wrong clocks are not punished; the lease's own duration says how long
 * silence may last. A node whose replica is known to be dead need not wait for its lease.
 */
import { on, patch, record, requeueAfter, self, update } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { findCondition } from "./conditions.ts";
import type { Condition } from "./conditions.ts";
import { equal } from "./equality.ts";
import { leases, nodes, pods } from "./kubernetes.ts";
import type { Node, Taint } from "./kubernetes.ts";
import { disruptionOf, isEverythingLost, zoneOf } from "./node-zones.ts";
import { podCondition, timestamp } from "./pod.ts";

const leaseNamespace = "kube-node-lease";
const defaultLeaseSeconds = 40;
/** How long the agent of a node whose replica is gone must have been silent, too. */
const peerSilenceMs = 8000;
/** How often a node is looked at whose replica could tell more than its lease. */
const peerCheckMs = 1000;
const reported = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

interface Contact {
  uid: string;
  heartbeat: string;
  seenAtMs: number;
}

export interface NodeLifecycleSettings {
  isPeerAlive?: (nodeName: string) => boolean | undefined;
}

export function nodeLifecycleController(settings: NodeLifecycleSettings): Controller {
  /** When each node's agent was last seen to do something. Forgotten with the leadership: silence counts anew. */
  const contacts = new Map<string, Contact>();
  /** When the last node of each zone was given up. */
  const evictedAtMs = new Map<string, number>();
  return {
    name: "node-controller",
    triggers: [
      on(nodes, self),
      // Who may be evicted depends on how many others are lost.
      on(nodes, lostNodes, (node, old) => readiness(node) !== readiness(old)),
      on(
        leases,
        (lease) => [lease.metadata.name ?? ""],
        (lease, old) => (lease ?? old)?.metadata.namespace === leaseNamespace,
      ),
    ],
    reads: [pods],
    writes: [nodes, pods],
    plan: (view, key, nowMs) => planNode(view, key, nowMs, { contacts, evictedAtMs }, settings),
  };
}

function* planNode(
  view: View,
  key: string,
  nowMs: number,
  { contacts, evictedAtMs }: { contacts: Map<string, Contact>; evictedAtMs: Map<string, number> },
  { isPeerAlive }: NodeLifecycleSettings,
): Plan {
  let node = view.get(nodes, undefined, key);
  if (node === undefined) {
    const known = contacts.get(key);
    contacts.delete(key);
    if (known !== undefined)
      yield* tellOf(key, known.uid, "RemovingNode", `Removing Node ${key} from Controller`);
    return;
  }
  const lease = view.get(leases, leaseNamespace, key);
  const conditions = (node.status.conditions ?? []) as (Condition & { lastHeartbeatTime?: string })[];
  const heartbeat = `${lease?.spec.renewTime} ${findCondition(conditions, "Ready")?.lastHeartbeatTime}`;
  let contact = contacts.get(key);
  const { uid = "" } = node.metadata;
  if (contact?.uid !== uid) yield* tellOf(key, uid, "RegisteredNode", `Registered Node ${key} in Controller`);
  if (contact?.heartbeat !== heartbeat || contact.uid !== uid)
    contacts.set(key, (contact = { uid, heartbeat, seenAtMs: nowMs }));
  const limitMs = (lease?.spec.leaseDurationSeconds ?? defaultLeaseSeconds) * 1000;
  const leftMs = contact.seenAtMs + limitMs - nowMs;
  const isDead = isPeerAlive?.(key) === false && nowMs - contact.seenAtMs > peerSilenceMs;
  const wasReady = findCondition(conditions, "Ready")?.status === "True";
  if (leftMs <= 0 || isDead) node = yield* loseContact(node, nowMs);
  else yield* requeueAfter(isPeerAlive?.(key) === undefined ? leftMs : Math.min(leftMs, peerCheckMs));
  const isReady = readiness(node) === "True";
  if (wasReady && !isReady) {
    yield* record(node, "Normal", "NodeNotReady", `Node ${key} status is now: NodeNotReady`);
  }
  node = yield* copyLabels(node);
  yield* writeTaints(view, node, evictedAtMs, nowMs);
  if (readiness(node) === "Unknown") yield* markPodsNotReady(view, key, nowMs);
}

function* tellOf(name: string, uid: string, reason: string, message: string): Plan {
  const node = { apiVersion: "v1", kind: "Node", metadata: { name, uid } };
  yield* record(node, "Normal", reason, `Node ${name} event: ${message}`);
}

/** The old names of two labels, for those who still select by them. */
function* copyLabels(node: Node): Plan<Node> {
  const labels: Record<string, string> = {};
  for (const name of ["os", "arch"]) {
    const value = node.metadata.labels?.[`kubernetes.io/${name}`];
    const old = `beta.kubernetes.io/${name}`;
    if (value !== undefined && node.metadata.labels?.[old] !== value) labels[old] = value;
  }
  if (Object.keys(labels).length === 0) return node;
  return yield* patch<Node>(nodes, node, "strategic", { metadata: { labels } });
}

function* lostNodes(_changed: Node, view: View): Iterable<string> {
  for (const node of view.list(nodes)) if (readiness(node) !== "True") yield node.metadata.name ?? "";
}

function readiness(node: Node | undefined): string | undefined {
  return findCondition(node?.status.conditions as Condition[] | undefined, "Ready")?.status;
}

/** Nobody knows how the node is: all that its agent reports becomes Unknown. */
function* loseContact(node: Node, nowMs: number): Plan<Node> {
  const conditions = [...((node.status.conditions ?? []) as Condition[])];
  let changed = false;
  for (const type of reported) {
    const index = conditions.findIndex((each) => each.type === type);
    const old = conditions[index];
    if (old?.status === "Unknown") continue;
    changed = true;
    const never = old === undefined;
    const next = {
      ...old,
      type,
      status: "Unknown",
      reason: never ? "NodeStatusNeverUpdated" : "NodeStatusUnknown",
      message: never ? "Kubelet never posted node status." : "Kubelet stopped posting node status.",
      lastTransitionTime: timestamp(nowMs),
      ...(never ? { lastHeartbeatTime: node.metadata.creationTimestamp ?? timestamp(nowMs) } : {}),
    };
    if (never) conditions.push(next);
    else conditions[index] = next;
  }
  if (!changed) return node;
  return yield* patch<Node>(
    nodes,
    node,
    "merge",
    { metadata: { resourceVersion: node.metadata.resourceVersion }, status: { conditions } },
    "status",
  );
}

function* writeTaints(view: View, node: Node, evictedAtMs: Map<string, number>, nowMs: number): Plan {
  let wanted = taintsFor(node);
  if (wanted.some(isEviction) && !(yield* mayEvict(view, node, evictedAtMs, nowMs)))
    wanted = wanted.filter((each) => !isEviction(each));
  const managed = new Set([...conditionTaints.map((each) => each.key), "node.kubernetes.io/unschedulable"]);
  const isOurs = ({ key, effect }: Taint): boolean =>
    managed.has(key) && (effect === "NoSchedule" || (effect === "NoExecute" && executeKeys.has(key)));
  const current = node.spec.taints ?? [];
  const taints = current.filter(
    (each) => !isOurs(each) || wanted.some((other) => other.key === each.key && other.effect === each.effect),
  );
  for (const each of wanted) {
    if (taints.some((other) => other.key === each.key && other.effect === each.effect)) continue;
    const timeAdded = timestamp(nowMs) as unknown as NonNullable<Taint["timeAdded"]>;
    taints.push({ ...each, timeAdded });
  }
  if (equal(taints, current)) return;
  yield* update(nodes, { ...node, spec: { ...node.spec, taints } });
}

/** Whether the node's pods may be evicted now. A node that was given up stays so, unless all are lost. */
function* mayEvict(view: View, node: Node, evictedAtMs: Map<string, number>, nowMs: number): Plan<boolean> {
  const all = view.list(nodes).map((each) => (each.metadata.name === node.metadata.name ? node : each));
  if (isEverythingLost(all)) return false;
  if ((node.spec.taints ?? []).some(isEviction)) return true;
  const zone = zoneOf(node);
  const { pauseMs } = disruptionOf(zone, all);
  // Too many are lost: a change of any of them is looked at again.
  if (pauseMs === Infinity) return false;
  const leftMs = (evictedAtMs.get(zone) ?? -Infinity) + pauseMs - nowMs;
  if (leftMs > 0) {
    yield* requeueAfter(leftMs);
    return false;
  }
  evictedAtMs.set(zone, nowMs);
  return true;
}

function isEviction({ key, effect }: Taint): boolean {
  return effect === "NoExecute" && executeKeys.has(key);
}

const conditionTaints = [
  { type: "Ready", status: "False", key: "node.kubernetes.io/not-ready" },
  { type: "Ready", status: "Unknown", key: "node.kubernetes.io/unreachable" },
  { type: "MemoryPressure", status: "True", key: "node.kubernetes.io/memory-pressure" },
  { type: "DiskPressure", status: "True", key: "node.kubernetes.io/disk-pressure" },
  { type: "PIDPressure", status: "True", key: "node.kubernetes.io/pid-pressure" },
  { type: "NetworkUnavailable", status: "True", key: "node.kubernetes.io/network-unavailable" },
];

const executeKeys = new Set(["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);

function taintsFor(node: Node): Taint[] {
  const taints: Taint[] = [];
  const conditions = node.status.conditions as Condition[] | undefined;
  for (const { type, status, key } of conditionTaints) {
    if (findCondition(conditions, type)?.status !== status) continue;
    taints.push({ key, effect: "NoSchedule" });
    if (executeKeys.has(key)) taints.push({ key, effect: "NoExecute" });
  }
  if (findCondition(conditions, "Ready") === undefined) {
    // Not reported yet: keep the taint that admission put there.
    taints.push({ key: "node.kubernetes.io/not-ready", effect: "NoSchedule" });
  }
  if (node.spec.unschedulable === true) {
    taints.push({ key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" });
  }
  return taints;
}

/** So that services stop sending traffic there, long before the pods are evicted. */
function* markPodsNotReady(view: View, nodeName: string, nowMs: number): Plan {
  for (const pod of view.byIndex(pods, "node", nodeName)) {
    if (podCondition(pod, "Ready")?.status !== "True") continue;
    yield* patch(
      pods,
      pod,
      "strategic",
      {
        metadata: { uid: pod.metadata.uid },
        status: { conditions: [{ type: "Ready", status: "False", lastTransitionTime: timestamp(nowMs) }] },
      },
      "status",
    );
    yield* record(pod, "Warning", "NodeNotReady", "Node is not ready");
  }
}
