/**
 * Kinds that are served in a version or group in which they are not stored: HorizontalPodAutoscaler v1
 * (stored as v2) and events.k8s.io/v1 Event (stored as core v1).
 */
import { autoscalerFromV2, autoscalerToV2 } from "./autoscaler-conversion.ts";
import type { AnyKind } from "#kinds/kind.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { VersionConversion } from "./registry.ts";

export interface ConvertedKind {
  /** group/version/plural of the kind whose form is stored. */
  storage: string;
  conversion: VersionConversion;
}

export const convertedKinds: Readonly<Record<string, ConvertedKind>> = {
  "events.k8s.io/v1/events": {
    storage: "/v1/events",
    conversion: { fromStorage: eventFromCore, toStorage: eventToCore },
  },
  "autoscaling/v1/horizontalpodautoscalers": {
    storage: "autoscaling/v2/horizontalpodautoscalers",
    conversion: { fromStorage: autoscalerFromV2, toStorage: autoscalerToV2 },
  },
};

export function keyOfKind(kind: AnyKind): string {
  return `${kind.group}/${kind.version}/${kind.plural}`;
}

/** Fields that the two forms of Event name differently: [events.k8s.io, core]. */
const eventFields: readonly (readonly [string, string])[] = [
  ["note", "message"],
  ["regarding", "involvedObject"],
  ["deprecatedSource", "source"],
  ["deprecatedFirstTimestamp", "firstTimestamp"],
  ["deprecatedLastTimestamp", "lastTimestamp"],
  ["deprecatedCount", "count"],
  ["reportingController", "reportingComponent"],
];

function eventFromCore(object: KubeObject): KubeObject {
  const renamed = rename(
    object,
    eventFields.map(([left, right]) => [right, left] as const),
  );
  renamed.apiVersion = "events.k8s.io/v1";
  return renamed;
}

function eventToCore(object: KubeObject): KubeObject {
  const renamed = rename(object, eventFields);
  renamed.apiVersion = "v1";
  return renamed;
}

function rename(object: KubeObject, fields: readonly (readonly [string, string])[]): KubeObject {
  const names = new Map(fields);
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [names.get(key) ?? key, value]),
  ) as unknown as KubeObject;
}
