/** CSIDriver (storage.k8s.io/v1). */
import { ageColumn, boolean, nameColumn, text } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, duplicate, invalid, notSupported } from "./field-error.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, countGeneration } from "./strategy.ts";

const schemaName = "io.k8s.api.storage.v1.CSIDriver";

interface CsiDriverObject extends KubeObject {
  spec: {
    attachRequired?: boolean;
    podInfoOnMount?: boolean;
    storageCapacity?: boolean;
    fsGroupPolicy?: string;
    tokenRequests?: { audience: string; expirationSeconds?: number }[];
    requiresRepublish?: boolean;
    seLinuxMount?: boolean;
    volumeLifecycleModes?: string[];
  };
}

const groupPolicies = ["File", "None", "ReadWriteOnceWithFSType"];

export const csiDriver = defineKind<CsiDriverObject>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSIDriver",
  plural: "csidrivers",
  singular: "csidriver",
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  unconditionalUpdate: false,
  prepareUpdate: (object, old) => countGeneration(object, old),
  applyDefaults({ spec }) {
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ["Persistent"];
  },
  validate: validateDriver,
  validateUpdate(object, old) {
    const errors: FieldError[] = [];
    // Upstream misspells the first of these fields.
    for (const [name, field] of [
      ["attachedRequired", "attachRequired"],
      ["volumeLifecycleModes", "volumeLifecycleModes"],
    ] as const)
      if (!deepEqual(object.spec[field], old.spec[field]))
        errors.push(invalid(`spec.${name}`, object.spec[field], "field is immutable"));
    return [...validateDriver(object), ...errors];
  },
  columns: [
    nameColumn,
    boolean("AttachRequired", "Whether volumes must be attached.", ({ spec }) => spec.attachRequired ?? true),
    boolean(
      "PodInfoOnMount",
      "Whether the driver is told of the pod.",
      ({ spec }) => spec.podInfoOnMount ?? false,
    ),
    boolean("StorageCapacity", "Whether capacity is tracked.", ({ spec }) => spec.storageCapacity ?? false),
    text("TokenRequests", "Audiences of tokens that the driver gets.", ({ spec }) => {
      const audiences = (spec.tokenRequests ?? []).map((each) => each.audience);
      return audiences.length === 0 ? "<unset>" : audiences.join(",");
    }),
    boolean(
      "RequiresRepublish",
      "Whether volumes are published again and again.",
      ({ spec }) => spec.requiresRepublish ?? false,
    ),
    text(
      "Modes",
      "Life cycles of volumes.",
      ({ spec }) => (spec.volumeLifecycleModes ?? []).join(",") || "<none>",
    ),
    ageColumn,
  ],
});

function validateDriver({ spec }: CsiDriverObject): FieldError[] {
  const errors: FieldError[] = [];
  for (const mode of spec.volumeLifecycleModes ?? [])
    if (mode !== "Persistent" && mode !== "Ephemeral")
      errors.push(notSupported("spec.volumeLifecycleModes", mode, ["Persistent", "Ephemeral"]));
  if (spec.fsGroupPolicy !== undefined && !groupPolicies.includes(spec.fsGroupPolicy))
    errors.push(notSupported("spec.fsGroupPolicy", spec.fsGroupPolicy, groupPolicies));
  const seen = new Set<string>();
  for (const [index, { audience, expirationSeconds: seconds }] of (spec.tokenRequests ?? []).entries()) {
    const at = `spec.tokenRequests[${index}]`;
    if (seen.has(audience)) {
      errors.push(duplicate(`${at}.audience`, audience));
      continue;
    }
    seen.add(audience);
    if (seconds === undefined) continue;
    if (seconds < 600)
      errors.push(
        invalid(`${at}.expirationSeconds`, seconds, "may not specify a duration less than 10 minutes"),
      );
    if (seconds > 2 ** 32)
      errors.push(
        invalid(`${at}.expirationSeconds`, seconds, "may not specify a duration larger than 2^32 seconds"),
      );
  }
  return errors;
}
