/** Pod templates: what every workload shares. */
import type { AppArmorProfile, PodSpec, PodTemplateSpec } from "kubernetes-types/core/v1.d.ts";
import { type FieldError, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { goLabelSelector, goStringMapOf } from "./go-syntax.ts";
import {
  type LabelSelector,
  isEmptySelector,
  matchesLabelSelector,
  validateLabelSelector,
} from "./label-selector.ts";
import { validateAnnotations, validateLabels } from "./metadata.ts";
import { defaultPodSpec, validatePodSpec } from "./pod-spec.ts";
import type { ObjectMeta } from "./object.ts";
import { appArmorOf } from "./security-context.ts";
import { podSpecWarnings } from "./pod-warnings.ts";

export function defaultPodTemplate(template: PodTemplateSpec | undefined): void {
  if (template?.spec !== undefined) defaultPodSpec(template.spec);
}

export function validatePodTemplate(template: PodTemplateSpec, path: string): FieldError[] {
  const spec = template.spec ?? { containers: [] };
  const errors = [
    ...validateLabels(template.metadata?.labels, `${path}.labels`),
    ...validateAnnotations(template.metadata?.annotations, `${path}.annotations`),
    ...podAnnotationErrors(template.metadata?.annotations, spec, `${path}.annotations`),
    ...validatePodSpec(spec, "", `${path}.spec`),
  ];
  if ((spec.ephemeralContainers ?? []).length > 0)
    errors.push(
      forbidden(`${path}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template"),
    );
  return errors;
}

const appArmorPrefix = "container.apparmor.security.beta.kubernetes.io/";

/** Annotations of pods that have a meaning of their own. */
export function podAnnotationErrors(
  annotations: Record<string, string> | undefined,
  spec: NonNullable<PodTemplateSpec["spec"]>,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(annotations ?? {})) {
    if (!key.startsWith(appArmorPrefix)) continue;
    const at = `${path}[${key}]`;
    if (
      value !== "" &&
      value !== "runtime/default" &&
      value !== "unconfined" &&
      !value.startsWith("localhost/")
    )
      errors.push(invalid(at, value, `invalid AppArmor profile name: ${JSON.stringify(value)}`));
    const name = key.slice(appArmorPrefix.length);
    const all = [
      ...(spec.containers ?? []),
      ...(spec.initContainers ?? []),
      ...(spec.ephemeralContainers ?? []),
    ];
    if (!all.some((each) => each.name === name)) errors.push(invalid(at, name, "container not found"));
  }
  return errors;
}

/** Keeps the old annotations and the field for AppArmor profiles in step, as upstream does on creation. */
export function syncAppArmor(
  pod: { metadata: ObjectMeta; spec: PodSpec },
  warn: (text: string) => void,
): void {
  if (pod.spec.os?.name === "windows") return;
  const podProfile = appArmorOf(pod.spec.securityContext);
  for (const container of [...(pod.spec.initContainers ?? []), ...(pod.spec.containers ?? [])]) {
    const key = appArmorPrefix + container.name;
    const annotation = pod.metadata.annotations?.[key];
    const own = appArmorOf(container.securityContext);
    if (own === undefined && annotation !== undefined) {
      warn(`metadata.annotations[${key}]: deprecated since v1.30; use the "appArmorProfile" field instead`);
      const profile = profileOf(annotation);
      if (profile === undefined || (podProfile !== undefined && podProfile.type === profile.type)) continue;
      container.securityContext = Object.assign(container.securityContext ?? {}, {
        appArmorProfile: profile,
      });
    } else if (annotation === undefined && (own ?? podProfile) !== undefined) {
      const { type, localhostProfile } = own ?? podProfile ?? { type: "" };
      const value =
        type === "Localhost"
          ? `localhost/${localhostProfile ?? ""}`
          : { RuntimeDefault: "runtime/default", Unconfined: "unconfined" }[type];
      if (value !== undefined) pod.metadata.annotations = { ...pod.metadata.annotations, [key]: value };
    }
  }
}

function profileOf(annotation: string): AppArmorProfile | undefined {
  if (annotation === "" || annotation === "runtime/default") return { type: "RuntimeDefault" };
  if (annotation === "unconfined") return { type: "Unconfined" };
  if (!annotation.startsWith("localhost/")) return undefined;
  return { type: "Localhost", localhostProfile: annotation.slice("localhost/".length) };
}

/** Checks that a workload's selector is sound. `kind` stands in the text for an empty one. */
export function selectorErrors(
  selector: LabelSelector | undefined,
  path: string,
  kind: string,
): FieldError[] {
  if (selector === undefined) return [required(path)];
  const errors = validateLabelSelector(selector, path);
  if (isEmptySelector(selector))
    errors.push(invalid(path, goLabelSelector(selector), `empty selector is invalid for ${kind}`));
  return errors;
}

/** "`selector` does not match template `labels`", where that is so; a selector that can't be used is an error of its own. */
export function selectorMismatch(
  selector: LabelSelector | undefined,
  template: PodTemplateSpec,
  path: string,
  selectorPath = "spec.selector",
): FieldError[] {
  const labels = template.metadata?.labels;
  if (selector !== undefined && validateLabelSelector(selector, "").length > 0)
    return [invalid(selectorPath, goLabelSelector(selector), "invalid label selector")];
  if (selector !== undefined && isEmptySelector(selector)) return [];
  if (matchesLabelSelector(selector, labels)) return [];
  return [
    invalid(
      `${path}.metadata.labels`,
      goStringMapOf(template.metadata, "labels"),
      "`selector` does not match template `labels`",
    ),
  ];
}

/** Pods of this template must always restart. */
export function restartAlwaysErrors(template: PodTemplateSpec, path: string): FieldError[] {
  const policy = template.spec?.restartPolicy ?? "";
  return policy === "Always" ? [] : [notSupported(`${path}.spec.restartPolicy`, policy, ["Always"])];
}

export function podTemplateWarnings(template: PodTemplateSpec | undefined, path: string): string[] {
  return template?.spec === undefined
    ? []
    : podSpecWarnings(template.spec, template.metadata?.annotations, path);
}
