/**
 * What `kubectl explain` says: sentences of Trivet's own for definitions and fields, as data by subject. The
 * key "" is the definition itself. What many definitions share is said here once.
 */
import type { Schema } from "#kinds/schema.ts";
import cluster from "./descriptions/cluster.json" with { type: "json" };
import corePods from "./descriptions/core-pods.json" with { type: "json" };
import coreVolumes from "./descriptions/core-volumes.json" with { type: "json" };
import meta from "./descriptions/meta.json" with { type: "json" };
import network from "./descriptions/network.json" with { type: "json" };
import workloads from "./descriptions/workloads.json" with { type: "json" };

type Sentences = Readonly<Record<string, string>>;

/** By definition, then by field. */
export const descriptions: Readonly<Record<string, Sentences>> = {
  ...meta,
  ...corePods,
  ...coreVolumes,
  ...workloads,
  ...network,
  ...cluster,
};

const ofObjects: Sentences = {
  apiVersion: "Group and version in which the object is written.",
  kind: "Kind of the object.",
  metadata: "Name, labels and what else every object has.",
  items: "The objects of the list.",
};

/** Of custom resources only their authors know what these mean. */
const ofBuiltInObjects: Sentences = {
  ...ofObjects,
  spec: "What is wanted.",
  status: "What is, as far as it is known. Written by the system.",
};

const ofConditions: Sentences = {
  type: "Which aspect this is.",
  status: "True, False or Unknown.",
  reason: "Why, in one word.",
  message: "Why, for people.",
  lastTransitionTime: "When the status last changed.",
  lastUpdateTime: "When the condition was last written.",
  lastProbeTime: "When the condition was last checked.",
  lastHeartbeatTime: "When the condition was last reported.",
};

/** The schema with the descriptions that it lacks. It is not changed. */
export function described(name: string, schema: Schema): Schema {
  const own = descriptions[name];
  const shared = sharedSentences(name, schema);
  if (own === undefined && shared === undefined) return schema;
  const description = schema.description ?? own?.[""];
  const properties = Object.entries(schema.properties ?? {}).map(([field, property]): [string, Schema] => {
    const text = property.description ?? own?.[field] ?? shared?.[field];
    return [field, text === undefined ? property : { ...property, description: text }];
  });
  return {
    ...schema,
    ...(description === undefined ? {} : { description }),
    ...(schema.properties === undefined ? {} : { properties: Object.fromEntries(properties) }),
  };
}

function sharedSentences(name: string, schema: Schema): Sentences | undefined {
  if (schema["x-kubernetes-group-version-kind"] !== undefined)
    return name.startsWith("io.k8s.") ? ofBuiltInObjects : ofObjects;
  return name.endsWith("Condition") ? ofConditions : undefined;
}
