import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Pod } from "../types.ts";
import { container, exited, instance, podOf, sandbox, viewOf } from "./pod-fixture.test-support.ts";
import { emptyView } from "./runtime-view.ts";
import type { PodView } from "./runtime-view.ts";
import { planPodSync } from "./sync-plan.ts";
import type { SyncInput } from "./sync-plan.ts";

function plan(pod: Pod, view: PodView, more: Partial<SyncInput> = {}) {
  const result = planPodSync({
    pod,
    view,
    nowMs: 20_000,
    backoff: () => undefined,
    probeFailed: () => undefined,
    started: () => true,
    ...more,
  });
  return {
    ...result,
    starts: result.start.map((step) => `${step.sort} ${step.container.name} ${step.restartCount}`),
    stops: result.stop.map((step) => step.message),
  };
}

describe("a new pod", () => {
  test("gets a sandbox and all its containers at once", () => {
    const { createSandbox, starts, stopPod } = plan(
      podOf({ containers: [container("a"), container("b")] }),
      emptyView,
    );
    assert.equal(createSandbox, 0);
    assert.equal(stopPod, false);
    assert.deepEqual(starts, ["app a 0", "app b 0"]);
  });

  test("starts with its first init container only", () => {
    const pod = podOf({ initContainers: [container("i1"), container("i2")] });
    assert.deepEqual(plan(pod, emptyView).starts, ["init i1 0"]);
  });
});

describe("a sandbox that died", () => {
  const dead = sandbox({ ready: false });

  test("is replaced, and everything starts again", () => {
    const { createSandbox, stopPod, starts } = plan(podOf({}), viewOf([instance("main")], [dead]));
    assert.equal(createSandbox, 1);
    assert.equal(stopPod, true);
    assert.deepEqual(starts, ["app main 1"]);
    assert.deepEqual(plan(podOf({}), viewOf([exited("main", 137)], [dead])).starts, ["app main 1"]);
  });

  test("is not replaced when the restart policy forbids to run again", () => {
    const never = plan(podOf({ restartPolicy: "Never" }), viewOf([exited("main", 1)], [dead]));
    assert.equal(never.createSandbox, undefined);
    const done = plan(podOf({ restartPolicy: "OnFailure" }), viewOf([exited("main", 0)], [dead]));
    assert.equal(done.createSandbox, undefined);
  });
});

describe("init containers", () => {
  const pod = podOf({ initContainers: [container("i1"), container("i2")] });

  test("run one after another", () => {
    assert.deepEqual(plan(pod, viewOf([instance("i1")])).starts, []);
    assert.deepEqual(plan(pod, viewOf([exited("i1", 0)])).starts, ["init i2 0"]);
    assert.deepEqual(plan(pod, viewOf([exited("i2", 0), exited("i1", 0)])).starts, ["app main 0"]);
  });

  test("are tried again when they fail, unless the policy is Never", () => {
    assert.deepEqual(plan(pod, viewOf([exited("i1", 1)])).starts, ["init i1 1"]);
    const never = podOf({ restartPolicy: "Never", initContainers: [container("i1")] });
    const failed = plan(never, viewOf([exited("i1", 1)]));
    assert.deepEqual([failed.starts, failed.stopPod], [[], true]);
  });

  test("do not run again once an app container was made", () => {
    assert.deepEqual(plan(pod, viewOf([instance("main")])).starts, []);
  });
});

describe("sidecars", () => {
  const sidecar = container("proxy", { restartPolicy: "Always" });
  const pod = podOf({ initContainers: [sidecar, container("i2")] });

  test("let the next container start once they have started", () => {
    const view = viewOf([instance("proxy")]);
    assert.deepEqual(plan(pod, view, { started: () => false }).starts, []);
    assert.deepEqual(plan(pod, view).starts, ["init i2 0"]);
  });

  test("are restarted beside running apps", () => {
    assert.deepEqual(plan(pod, viewOf([instance("main"), exited("proxy", 0)])).starts, ["sidecar proxy 1"]);
  });

  test("end with the pod when the apps are done", () => {
    const job = podOf({ restartPolicy: "Never", initContainers: [sidecar] });
    assert.equal(plan(job, viewOf([exited("main", 0), instance("proxy")])).stopPod, true);
  });
});

describe("restarts", () => {
  test("wait for the back-off and say so in upstream's words", () => {
    const backoff = () => ({ waitMs: 20_000, updatedAtMs: 9_000 });
    const result = plan(podOf({}), viewOf([exited("main", 1)]), { backoff });
    assert.deepEqual(result.starts, []);
    assert.equal(result.wakeAfterMs, 10_000);
    assert.deepEqual(result.waiting.get("main"), {
      reason: "CrashLoopBackOff",
      message: "back-off 20s restarting failed container=main pod=web_shop(u-1)",
    });
    assert.deepEqual(plan(podOf({}), viewOf([exited("main", 1)]), { backoff, nowMs: 30_000 }).starts, [
      "app main 1",
    ]);
  });

  test("follow the policy", () => {
    const failed = viewOf([exited("main", 1)]);
    const done = viewOf([exited("main", 0)]);
    assert.deepEqual(plan(podOf({ restartPolicy: "OnFailure" }), failed).starts, ["app main 1"]);
    assert.equal(plan(podOf({ restartPolicy: "OnFailure" }), done).stopPod, true);
    assert.equal(plan(podOf({ restartPolicy: "Never" }), failed).stopPod, true);
    assert.deepEqual(plan(podOf({}), done).starts, ["app main 1"]);
  });

  test("follow a failed probe", () => {
    const result = plan(podOf({}), viewOf([instance("main")]), { probeFailed: () => "liveness" });
    assert.deepEqual(result.stops, ["Container main failed liveness probe, will be restarted"]);
    assert.deepEqual(result.starts, ["app main 1"]);
    const never = plan(podOf({ restartPolicy: "Never" }), viewOf([instance("main")]), {
      probeFailed: () => "liveness",
    });
    assert.deepEqual(never.stops, ["Container main failed liveness probe"]);
    assert.deepEqual(never.starts, []);
  });

  test("follow a changed image", () => {
    const pod = podOf({ containers: [container("main", { image: "trivet.local/demo:2" })] });
    const result = plan(pod, viewOf([instance("main")]));
    assert.deepEqual(result.stops, ["Container main definition changed, will be restarted"]);
    assert.deepEqual(result.starts, ["app main 1"]);
  });
});

test("a running pod is left alone", () => {
  const result = plan(podOf({}), viewOf([instance("main")]));
  assert.deepEqual(
    [result.starts, result.stops, result.stopPod, result.createSandbox],
    [[], [], false, undefined],
  );
});

test("ephemeral containers start once and never again", () => {
  const pod = podOf({ ephemeralContainers: [{ name: "debug", image: "trivet.local/demo:1" }] });
  assert.deepEqual(plan(pod, viewOf([instance("main")])).starts, ["ephemeral debug 0"]);
  assert.deepEqual(plan(pod, viewOf([exited("debug", 1), instance("main")])).starts, []);
});
