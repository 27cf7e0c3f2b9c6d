/** FlowSchemas: whether the priority level to which each sends its requests exists stands in its status. */
import { findCondition } from "./conditions.ts";
import type { Condition } from "./conditions.ts";
import { on, self } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { flowSchemas, priorityLevelConfigurations } from "./kubernetes.ts";
import type { FlowSchema, PriorityLevelConfiguration } from "./kubernetes.ts";
import { timestamp } from "./pod.ts";

export const flowSchemaController: Controller = {
  name: "api-priority-and-fairness-config-consumer-v1",
  triggers: [
    on(flowSchemas, self),
    on(priorityLevelConfigurations, schemasOf, (level, old) => level === undefined || old === undefined),
  ],
  writes: [flowSchemas],
  plan: planStatus,
};

function* schemasOf(level: PriorityLevelConfiguration, view: View): Iterable<string> {
  for (const schema of view.list(flowSchemas))
    if (levelOf(schema) === level.metadata.name) yield schema.metadata.name ?? "";
}

function* planStatus(view: View, key: string, nowMs: number): Plan {
  const schema = view.get(flowSchemas, undefined, key);
  if (schema === undefined || schema.metadata.deletionTimestamp !== undefined) return;
  const level = levelOf(schema);
  const exists = view.get(priorityLevelConfigurations, undefined, level) !== undefined;
  const found = findCondition(schema.status.conditions as Condition[] | undefined, "Dangling");
  const wanted = {
    type: "Dangling",
    status: exists ? "False" : "True",
    reason: exists ? "Found" : "NotFound",
    message:
      `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)} ` +
      (exists ? "and it exists" : "but there is no such object"),
  };
  if (found?.status === wanted.status && found.reason === wanted.reason && found.message === wanted.message)
    return;
  const since = found?.status === wanted.status ? found.lastTransitionTime : undefined;
  const condition = { ...wanted, lastTransitionTime: since ?? timestamp(nowMs) };
  yield {
    type: "patch",
    resource: flowSchemas,
    namespace: undefined,
    name: key,
    patchType: "apply",
    patch: {
      apiVersion: "flowcontrol.apiserver.k8s.io/v1",
      kind: "FlowSchema",
      metadata: { name: key },
      status: { conditions: [condition] },
    },
    subresource: "status",
  };
}

function levelOf({ spec }: FlowSchema): string {
  return spec.priorityLevelConfiguration.name;
}
