/** The spec of a claim, which also stands in ephemeral volumes and StatefulSets. */
import type { PersistentVolumeClaimSpec } from "kubernetes-types/core/v1.d.ts";
import { type FieldError, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { validateLabelSelector } from "./label-selector.ts";
import { dnsSubdomainErrors } from "./names.ts";
import { compareQuantities } from "./quantity.ts";

export const accessModes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

export function validateClaimSpec(spec: PersistentVolumeClaimSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const modes = spec.accessModes ?? [];
  if (modes.length === 0) errors.push(required(`${path}.accessModes`, "at least 1 access mode is required"));
  errors.push(...validateLabelSelector(spec.selector, `${path}.selector`));
  for (const mode of modes)
    if (!accessModes.includes(mode)) errors.push(notSupported(`${path}.accessModes`, mode, accessModes));
  if (modes.includes("ReadWriteOncePod") && modes.length > 1)
    errors.push(forbidden(`${path}.accessModes`, "may not use ReadWriteOncePod with other access modes"));
  const storage = (spec.resources?.requests as Record<string, string> | undefined)?.["storage"];
  if (storage === undefined) errors.push(required(`${path}.resources[storage]`));
  else if (compareQuantities(storage, "0") <= 0)
    errors.push(invalid(`${path}.resources[storage]`, storage, "must be greater than zero"));
  const className = spec.storageClassName;
  if (className)
    errors.push(
      ...dnsSubdomainErrors(className).map((each) => invalid(`${path}.storageClassName`, className, each)),
    );
  if (spec.volumeMode !== undefined && !["Block", "Filesystem"].includes(spec.volumeMode))
    errors.push(notSupported(`${path}.volumeMode`, spec.volumeMode, ["Block", "Filesystem"]));
  for (const field of ["dataSource", "dataSourceRef"] as const) {
    const source = spec[field];
    if (source === undefined) continue;
    const at = `${path}.${field}`;
    if (!source.name) errors.push(required(`${at}.name`));
    if (!source.kind) errors.push(required(`${at}.kind`));
    const group = source.apiGroup ?? "";
    if (group === "" && source.kind !== "PersistentVolumeClaim")
      errors.push(
        invalid(
          at,
          source.kind ?? "",
          "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        ),
      );
    if (group !== "")
      errors.push(...dnsSubdomainErrors(group).map((each) => invalid(`${at}.apiGroup`, group, each)));
  }
  return errors;
}
