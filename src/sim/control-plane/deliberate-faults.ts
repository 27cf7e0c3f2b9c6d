/** Mistakes that control loops have made, each as a patch of a real one: they show that the simulation would find them. */

import type { Action, Controller, View } from "#controllers/controller.ts";
import { deploymentController } from "#controllers/deployment.ts";
import { disruptionController } from "#controllers/disruption-budget.ts";
import { garbageCollector } from "#controllers/garbage-collector.ts";
import { jobController } from "#controllers/job.ts";
import { statefulSetController } from "#controllers/stateful-set.ts";
import type { KubeObject } from "#kinds/object.ts";
import { SharedView } from "#manager/shared-view.ts";
import type { FaultKind } from "./adversary.ts";
import { ControlPlaneSimulation } from "./simulation.ts";

export interface ControlPlaneFault {
  /** The faults of the surroundings that bring it about; without it those that the seed draws. */
  only?: readonly FaultKind[];
  ignoresFence?: boolean;
  /** Makes the mistake until the returned function is called. */
  install?(): () => void;
}

export const controlPlaneFaults: Record<string, ControlPlaneFault> = {
  "writes of former leaders are taken": {
    ignoresFence: true,
    only: ["deposeLeader", "deposeLeader", "stallWatches"],
  },
  "control loops do not see their own writes": { only: ["stallWatches"], install: forgetOwnWrites },
  "a Deployment ignores maxUnavailable": {
    only: [],
    install: () =>
      misread(deploymentController, "Deployment", (spec) => {
        rollingOf(spec)["maxUnavailable"] = spec["replicas"];
      }),
  },
  "a Deployment adds to its surge": {
    only: [],
    install: () =>
      misread(deploymentController, "Deployment", (spec) => {
        rollingOf(spec)["maxSurge"] = 4;
      }),
  },
  "a StatefulSet does not wait for its pods": {
    only: [],
    install: () =>
      misread(statefulSetController, "StatefulSet", (spec) => {
        spec["podManagementPolicy"] = "Parallel";
      }),
  },
  "a Job counts a finished pod twice": {
    only: [],
    install: () =>
      miswrite(jobController, (status) => {
        if (typeof status["succeeded"] === "number") status["succeeded"]++;
      }),
  },
  "a budget allows one disruption too many": {
    only: [],
    install: () =>
      miswrite(disruptionController, (status) => {
        status["disruptionsAllowed"] = Number(status["disruptionsAllowed"]) + 2;
      }),
  },
  "nobody collects what has no owner": { only: [], install: collectNothing },
};

/** The first seed, counted from 1, that finds it. */
export async function findControlPlaneFault(
  fault: ControlPlaneFault,
  limit: number,
): Promise<{ seed: number; how: string } | undefined> {
  const undo = fault.install?.();
  try {
    for (let seed = 1; seed <= limit; seed++) {
      try {
        await new ControlPlaneSimulation(seed, {
          ...(fault.only === undefined ? {} : { only: fault.only }),
          ignoresFence: fault.ignoresFence === true,
        }).run();
      } catch (error) {
        if ((error as Error).name !== "Violation") throw error;
        return { seed, how: (error as Error).message };
      }
    }
    return undefined;
  } finally {
    undo?.();
  }
}

type Fields = Record<string, unknown>;

function rollingOf(spec: Fields): Fields {
  const strategy = spec["strategy"] as { rollingUpdate?: Fields } | undefined;
  return strategy?.rollingUpdate ?? {};
}

function misread(controller: Controller, kind: string, change: (spec: Fields) => void): () => void {
  const plan = controller.plan.bind(controller);
  const wrong = <T extends KubeObject>(object: T | undefined): T | undefined => {
    if (object?.kind !== kind) return object;
    const copy = structuredClone(object);
    change(copy["spec"] as Fields);
    return copy;
  };
  controller.plan = (view, key, nowMs) => {
    const wrongView: View = {
      get: (resource, namespace, name) => wrong(view.get(resource, namespace, name)),
      list: (resource, namespace) => view.list(resource, namespace),
      resources: () => view.resources(),
      byIndex: (resource, index, value) => view.byIndex(resource, index, value),
    };
    return plan(wrongView, key, nowMs);
  };
  return () => {
    controller.plan = plan;
  };
}

function miswrite(controller: Controller, change: (status: Fields) => void): () => void {
  const plan = controller.plan.bind(controller);
  controller.plan = function* (view, key, nowMs) {
    const right = plan(view, key, nowMs);
    let step = right.next();
    while (step.done !== true) {
      let answer: unknown;
      try {
        answer = yield wronged(step.value, change);
      } catch (error) {
        step = right.throw(error);
        continue;
      }
      step = right.next(answer);
    }
  };
  return () => {
    controller.plan = plan;
  };
}

function wronged(action: Action, change: (status: Fields) => void): Action {
  if (action.type !== "update" || action.subresource !== "status") return action;
  const object = structuredClone(action.object);
  change(object["status"] as Fields);
  return { ...action, object };
}

function forgetOwnWrites(): () => void {
  const right = Object.getOwnPropertyDescriptor(SharedView.prototype, "apply")!;
  Object.defineProperty(SharedView.prototype, "apply", { ...right, value: () => undefined });
  return () => {
    Object.defineProperty(SharedView.prototype, "apply", right);
  };
}

function collectNothing(): () => void {
  const plan = garbageCollector.plan.bind(garbageCollector);
  garbageCollector.plan = function* () {
    yield* [];
  };
  return () => {
    garbageCollector.plan = plan;
  };
}
