/**
 * The leases kube-controller-manager and kube-scheduler in kube-system, for tools that read who leads.
 * Nothing here depends on them: who leads the datastore runs the control loops.
 */
import { StatusError } from "#base/errors.ts";
import { create, on, record, requeueAfter, splitKey, update } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { leases, namespaces } from "./kubernetes.ts";
import type { Lease } from "./kubernetes.ts";

const namespace = "kube-system";
const names = ["kube-controller-manager", "kube-scheduler"];
const durationSeconds = 60;
/** Seldom: each renewal is a flush of every disk. And both at once, as far as clocks agree with the nodes', too. */
const renewMs = 30_000;

/** `holder`: who leads, and in which of its leaderships: "node-a_17". */
export function leaderLeaseController(holder: string): Controller {
  return {
    name: "leader-lease-controller",
    triggers: [
      on(
        namespaces,
        () => names.map((name) => `${namespace}/${name}`),
        (object, old) => old === undefined && object?.metadata.name === namespace,
      ),
      on(
        leases,
        ({ metadata }) => [`${namespace}/${metadata.name}`],
        (lease, old) => lease?.spec.holderIdentity !== holder && isLeaderLease(lease ?? old),
      ),
    ],
    writes: [leases],
    plan: (view, key, nowMs) => planLease(view, key, nowMs, holder),
  };
}

function* planLease(view: View, key: string, nowMs: number, holder: string): Plan {
  const { name } = splitKey(key);
  const lease = view.get(leases, namespace, name);
  const spec = lease?.spec;
  const at = microTime(nowMs);
  const isHeld = spec?.holderIdentity === holder;
  const renewedMs = Date.parse((spec?.renewTime as unknown as string | undefined) ?? "") || 0;
  const dueMs = nextRenewalMs(renewedMs);
  if (isHeld && dueMs > nowMs) {
    yield* requeueAfter(dueMs - nowMs);
    return;
  }
  const renewed = {
    holderIdentity: holder,
    leaseDurationSeconds: durationSeconds,
    acquireTime: isHeld ? spec.acquireTime : at,
    renewTime: at,
    leaseTransitions: lease === undefined ? 0 : (spec?.leaseTransitions ?? 0) + (isHeld ? 0 : 1),
  } as unknown as Lease["spec"];
  try {
    let written: Lease;
    if (lease === undefined) {
      written = yield* create(leases, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name, namespace },
        spec: renewed,
      });
    } else written = yield* update(leases, { ...lease, spec: renewed });
    if (!isHeld) yield* record(written, "Normal", "LeaderElection", `${holder} became leader`);
  } catch (error) {
    if (!(error instanceof StatusError && error.code === 409)) throw error;
  }
  yield* requeueAfter(nextRenewalMs(nowMs) - nowMs);
}

function nextRenewalMs(afterMs: number): number {
  return (Math.floor(afterMs / renewMs) + 1) * renewMs;
}

function isLeaderLease(lease: Lease | undefined): boolean {
  return lease?.metadata.namespace === namespace && names.includes(lease.metadata.name ?? "");
}

/** MicroTime: six digits after the point. */
function microTime(nowMs: number): string {
  return new Date(nowMs).toISOString().replace("Z", "000Z");
}
