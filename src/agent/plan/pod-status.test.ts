import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Pod, PodStatus } from "../types.ts";
import { container, exited, instance, podOf, sandbox, viewOf } from "./pod-fixture.test-support.ts";
import { computePodStatus } from "./pod-status.ts";
import type { StatusInput } from "./pod-status.ts";
import { emptyView } from "./runtime-view.ts";
import type { PodView } from "./runtime-view.ts";

function status(pod: Pod, view: PodView, more: Partial<StatusInput> = {}): PodStatus {
  return computePodStatus({
    pod,
    view,
    nowMs: Date.UTC(2026, 0, 1),
    hostIps: ["192.0.2.1"],
    ended: false,
    rejected: undefined,
    waiting: new Map(),
    ready: () => true,
    started: () => true,
    ...more,
  });
}

const conditionsOf = (result: PodStatus) =>
  Object.fromEntries((result.conditions ?? []).map((each) => [each.type, each.status]));

const ended = { ended: true };

function running(pod: Pod): Pod {
  return { ...pod, status: { phase: "Running" } };
}

describe("phase", () => {
  const phases: [string, Pod, PodView, string, Partial<StatusInput>?][] = [
    ["nothing yet", podOf({}), emptyView, "Pending"],
    ["running", podOf({}), viewOf([instance("main")]), "Running"],
    [
      "one of two running",
      podOf({ containers: [container("main"), container("b")] }),
      viewOf([instance("main")]),
      "Pending",
    ],
    ["crashed, restarts", podOf({}), viewOf([exited("main", 1)]), "Running"],
    ["failed for good", podOf({ restartPolicy: "Never" }), viewOf([exited("main", 1)]), "Failed", ended],
    ["succeeded", podOf({ restartPolicy: "Never" }), viewOf([exited("main", 0)]), "Succeeded", ended],
    [
      "done, but a sidecar still stops",
      running(podOf({ restartPolicy: "Never" })),
      viewOf([exited("main", 0)]),
      "Running",
    ],
    ["init runs", podOf({ initContainers: [container("i")] }), viewOf([instance("i")]), "Pending"],
    [
      "init failed for good",
      podOf({ restartPolicy: "Never", initContainers: [container("i")] }),
      viewOf([exited("i", 1)]),
      "Failed",
      ended,
    ],
    ["deleted while running well", podOf({}), viewOf([exited("main", 0)]), "Succeeded", { ended: true }],
    ["deleted and killed", podOf({}), viewOf([exited("main", 137)]), "Failed", { ended: true }],
  ];
  for (const [what, pod, view, expected, more] of phases)
    test(what, () => assert.equal(status(pod, view, more).phase, expected));
});

test("a new pod waits for its containers", () => {
  const result = status(podOf({}), emptyView);
  assert.deepEqual(result.containerStatuses?.[0]?.state, { waiting: { reason: "ContainerCreating" } });
  assert.deepEqual(conditionsOf(result), {
    PodReadyToStartContainers: "False",
    Initialized: "True",
    Ready: "False",
    ContainersReady: "False",
    PodScheduled: "True",
  });
  const ready = result.conditions?.find((each) => each.type === "Ready");
  assert.equal(ready?.message, "containers with unready status: [main]");
});

test("apps behind init containers are initializing", () => {
  const result = status(podOf({ initContainers: [container("i")] }), viewOf([instance("i")]));
  assert.deepEqual(result.containerStatuses?.[0]?.state, { waiting: { reason: "PodInitializing" } });
  const initialized = result.conditions?.find((each) => each.type === "Initialized");
  assert.equal(initialized?.message, "containers with incomplete status: [i]");
});

test("a running pod is ready, with addresses", () => {
  const result = status(podOf({}), viewOf([instance("main")]));
  assert.equal(conditionsOf(result)["Ready"], "True");
  assert.equal(result.podIP, "10.42.0.5");
  assert.equal(result.hostIP, "192.0.2.1");
  assert.equal(result.containerStatuses?.[0]?.containerID, "containerd://main-0");
});

test("a back-off shows how the container ended", () => {
  const waiting = new Map([["main", { reason: "CrashLoopBackOff", message: "back-off" }]]);
  const result = status(podOf({}), viewOf([exited("main", 3, { restartCount: 2 })]), { waiting });
  const main = result.containerStatuses?.[0];
  assert.deepEqual(main?.state, { waiting: { reason: "CrashLoopBackOff", message: "back-off" } });
  assert.equal(main?.lastState?.terminated?.exitCode, 3);
  assert.equal(main?.lastState?.terminated?.reason, "Error");
  assert.equal(main?.restartCount, 2);
});

test("a restarted container keeps its last end", () => {
  const old = exited("main", 137, { id: "main-old", reason: "OOMKilled" });
  const result = status(podOf({}), viewOf([instance("main", { id: "main-new", restartCount: 1 }), old]));
  assert.equal(result.containerStatuses?.[0]?.lastState?.terminated?.reason, "OOMKilled");
});

test("a readiness gate holds the pod back", () => {
  const pod = podOf({ readinessGates: [{ conditionType: "example.com/lb" }] });
  const held = status(pod, viewOf([instance("main")]));
  const ready = held.conditions?.find((each) => each.type === "Ready");
  assert.equal(ready?.reason, "ReadinessGatesNotReady");
  assert.equal(conditionsOf(held)["ContainersReady"], "True");
  pod.status = { conditions: [{ type: "example.com/lb", status: "True" }] };
  assert.equal(conditionsOf(status(pod, viewOf([instance("main")])))["Ready"], "True");
});

test("transition times change only with the status", () => {
  const pod = podOf({});
  pod.status = status(pod, viewOf([instance("main")]));
  const later = status(pod, viewOf([instance("main")]), { nowMs: Date.UTC(2026, 0, 2), ready: () => false });
  const at = (type: string) => later.conditions?.find((each) => each.type === type)?.lastTransitionTime;
  assert.equal(at("PodScheduled"), "2026-01-01T00:00:00Z");
  assert.equal(at("Ready"), "2026-01-02T00:00:00Z");
});

test("a host-network pod has the node's address", () => {
  const result = status(podOf({ hostNetwork: true }), viewOf([instance("main")], [sandbox({ ips: [] })]));
  assert.equal(result.podIP, "192.0.2.1");
});

test("a refused pod has failed, with the reason", () => {
  const result = status(podOf({}), emptyView, {
    ended: true,
    rejected: { reason: "Evicted", message: "no memory" },
  });
  assert.deepEqual([result.phase, result.reason, result.message], ["Failed", "Evicted", "no memory"]);
});
