/** StorageClass (storage.k8s.io/v1). */
import type { TopologySelectorTerm } from "kubernetes-types/core/v1.d.ts";
import { ageColumn, nameColumn, text } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import {
  type FieldError,
  duplicate,
  forbidden,
  invalid,
  notSupported,
  required,
  tooLong,
} from "./field-error.ts";
import { defineKind } from "./kind.ts";
import { byteLength } from "./metadata.ts";
import { qualifiedNameErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs } from "./strategy.ts";

interface StorageClassObject extends KubeObject {
  provisioner: string;
  parameters?: Record<string, string>;
  reclaimPolicy?: string;
  volumeBindingMode?: string;
  allowVolumeExpansion?: boolean;
  allowedTopologies?: TopologySelectorTerm[];
}

const modes = ["Immediate", "WaitForFirstConsumer"];

export const storageClass = defineKind<StorageClassObject>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "StorageClass",
  plural: "storageclasses",
  singular: "storageclass",
  shortNames: ["sc"],
  namespaced: false,
  schemaName: "io.k8s.api.storage.v1.StorageClass",
  verbs: allVerbs,
  applyDefaults(object) {
    object.reclaimPolicy ??= "Delete";
    object.volumeBindingMode ??= "Immediate";
  },
  validate: validateClass,
  validateUpdate(object, old) {
    const errors: FieldError[] = [];
    for (const field of ["parameters", "provisioner", "reclaimPolicy"] as const)
      if (!deepEqual(object[field], old[field]))
        errors.push(forbidden(field, `updates to ${field} are forbidden.`));
    if (object.volumeBindingMode !== old.volumeBindingMode)
      errors.push(invalid("volumeBindingMode", object.volumeBindingMode, "field is immutable"));
    return [...errors, ...validateClass(object)];
  },
  columns: [
    nameColumn,
    text("Provisioner", "Who makes the volumes.", ({ provisioner }) => provisioner),
    text(
      "ReclaimPolicy",
      "What happens to released volumes.",
      ({ reclaimPolicy }) => reclaimPolicy ?? "Delete",
    ),
    text(
      "VolumeBindingMode",
      "When volumes are bound.",
      ({ volumeBindingMode }) => volumeBindingMode ?? "Immediate",
    ),
    {
      name: "AllowVolumeExpansion",
      type: "string",
      description: "Whether volumes may grow.",
      priority: 0,
      cell: ({ allowVolumeExpansion }) => allowVolumeExpansion ?? false,
    },
    ageColumn,
  ],
});

function validateClass(object: StorageClassObject): FieldError[] {
  const errors: FieldError[] = [];
  const { provisioner, parameters = {}, reclaimPolicy, volumeBindingMode } = object;
  if (provisioner === "") errors.push(required("provisioner", provisioner));
  else
    errors.push(
      ...qualifiedNameErrors(provisioner.toLowerCase()).map((each) =>
        invalid("provisioner", provisioner.toLowerCase(), each),
      ),
    );
  let sizeBytes = 0;
  for (const [key, value] of Object.entries(parameters)) {
    if (key === "") errors.push(invalid("parameters", key, "field can not be empty."));
    sizeBytes += byteLength(key) + byteLength(value);
  }
  if (sizeBytes > 256 * 1024) errors.push(tooLong("parameters", 256 * 1024));
  if (reclaimPolicy && !["Delete", "Retain"].includes(reclaimPolicy))
    errors.push(notSupported("reclaimPolicy", reclaimPolicy, ["Delete", "Retain"]));
  if (volumeBindingMode === undefined) errors.push(required("volumeBindingMode"));
  else if (!modes.includes(volumeBindingMode))
    errors.push(notSupported("volumeBindingMode", volumeBindingMode, modes));
  const topologies = object.allowedTopologies ?? [];
  // Upstream's list of terms begins with as many empty ones as there are terms.
  const earlier = topologies.map(() => "");
  for (const [index, term] of topologies.entries()) {
    const keys = new Set<string>();
    for (const [position, { key = "", values = [] }] of (term.matchLabelExpressions ?? []).entries()) {
      const at = `allowedTopologies[${index}].matchLabelExpressions[${position}]`;
      if ((values ?? []).length === 0) errors.push(required(`${at}.values`));
      const seen = new Set<string>();
      for (const [place, value] of (values ?? []).entries()) {
        if (seen.has(value)) errors.push(duplicate(`${at}.values[${place}]`, value));
        seen.add(value);
      }
      errors.push(...qualifiedNameErrors(key).map((each) => invalid(`${at}.key`, key, each)));
      if (keys.has(key)) errors.push(duplicate(`${at}.key`, key));
      keys.add(key);
    }
    const shown = termText(term.matchLabelExpressions ?? []);
    for (const other of earlier)
      if (other === shown) errors.push(duplicate(`allowedTopologies[${index}].matchLabelExpressions`, ""));
    earlier.push(shown);
  }
  return errors;
}

/** The same for terms that select the same, whatever the order of keys and values. */
function termText(expressions: readonly { key?: string; values?: string[] | null }[]): string {
  return expressions
    .map(({ key = "", values }) => `${key}=${[...(values ?? [])].sort().join(",")}`)
    .sort()
    .join(";");
}
