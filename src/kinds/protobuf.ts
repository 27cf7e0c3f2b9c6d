/**
 * The protobuf field numbers of the built-in definitions, derived by scripts/derive-protobuf.ts from
 * upstream's descriptors. Data only; the wire format is the API's.
 */
import { findSchema, schemaNames } from "./schemas.ts";
import messages from "./schema/protobuf.json" with { type: "json" };

export interface MessageField {
  name: string;
  /** s string, i integer, b boolean, y bytes, d double, else a definition's name. Of maps: the values'. */
  type: string;
  /** inline: its fields are the message's own in JSON. */
  form: "single" | "list" | "map" | "inline";
  /** Upstream's Go field is a pointer: zero is a value, not absence. */
  keepsZero: boolean;
}

const texts: Readonly<Record<string, string>> = messages;
const parsed = new Map<string, ReadonlyMap<number, MessageField>>();
const magic = [0x6b, 0x38, 0x73, 0x00];

/** The definition of a kind ("apps/v1", "Deployment"), or undefined. */
export function schemaNameOfKind(apiVersion: string, kind: string): string | undefined {
  const [version = "", group = ""] = apiVersion.split("/").toReversed();
  return schemaNames.find((name) =>
    (findSchema(name)?.["x-kubernetes-group-version-kind"] ?? []).some(
      (each) => each.group === group && each.version === version && each.kind === kind,
    ),
  );
}

/** Whether a body begins as upstream's protobuf envelope does ("k8s", then a zero byte). */
export function isProtobufEnvelope(body: Uint8Array): boolean {
  return magic.every((byte, at) => body[at] === byte);
}

/** Fields by number, or undefined for a definition that has no protobuf form. */
export function messageFields(name: string): ReadonlyMap<number, MessageField> | undefined {
  const known = parsed.get(name);
  if (known !== undefined || !Object.hasOwn(texts, name)) return known;
  const fields = new Map<number, MessageField>();
  for (const part of (texts[name] ?? "").split(", ")) {
    const [number, field, type] = part.split(" ");
    if (number !== undefined && field !== undefined && type !== undefined)
      fields.set(Number(number), parseField(field, type));
  }
  parsed.set(name, fields);
  return fields;
}

function parseField(name: string, type: string): MessageField {
  const keepsZero = pointers.has(name);
  if (type.startsWith("*")) return { name, type: type.slice(1), form: "list", keepsZero };
  if (type.startsWith("~")) return { name, type: type.slice(1), form: "inline", keepsZero };
  if (type.startsWith("{")) return { name, type: type.slice(1, -1), form: "map", keepsZero };
  return { name, type, form: "single", keepsZero };
}

/** Names of scalar fields that are pointers in upstream's Go types, or that have no `omitempty`. */
const pointers: ReadonlySet<string> = new Set(
  `activeDeadlineSeconds allocateLoadBalancerNodePorts allowPrivilegeEscalation allowed apiGroup appProtocol
   attachRequired automountServiceAccountToken averageUtilization backoffLimit backoffLimitPerIndex
   blockOwnerDeletion completionMode completions concurrencyPolicy controller currentAverageUtilization
   currentCPUUtilizationPercentage defaultMode deletionGracePeriodSeconds denied desiredHealthy enableServiceLinks
   endPort expirationSeconds externalTrafficPolicy failedJobsHistoryLimit failureThreshold fsGroup
   fsGroupChangePolicy fsGroupPolicy globalDefault gracePeriodSeconds hostUsers hostnameOverride immutable
   ingressClassName internalTrafficPolicy ipFamilyPolicy leaseDurationSeconds leaseTransitions
   loadBalancerClass manualSelector maxFailedIndexes maxReplicas maxSkew minDomains minReplicas mode
   nodeAffinityPolicy nodeTaintsPolicy observedGeneration optional orphanDependents parallelism partition
   podInfoOnMount podReplacementPolicy preemptionPolicy priority privileged procMount
   progressDeadlineSeconds propagationPolicy readOnlyRootFilesystem ready reclaimPolicy replicas requiresRepublish
   restartCount revisionHistoryLimit runAsGroup runAsNonRoot runAsUser runAsUserName runtimeClassName serving
   setHostnameAsFQDN shareProcessNamespace stabilizationWindowSeconds startingDeadlineSeconds started
   storageCapacity storageClassName successfulJobsHistoryLimit successPolicy suspend targetCPUUtilizationPercentage
   terminating terminationGracePeriodSeconds timeZone timeoutSeconds tolerationSeconds trafficDistribution
   ttlSecondsAfterFinished unhealthyPodEvictionPolicy volumeBindingMode volumeMode`.split(/\s+/),
);
