/** What may change on a pod: by ordinary updates, by its status, and by adding ephemeral containers. */
import type { EphemeralContainer, PodSpec, Toleration } from "kubernetes-types/core/v1.d.ts";
import { copyOf, deepEqual } from "./equality.ts";
import { type FieldError, duplicate, forbidden, invalid } from "./field-error.ts";
import { goStringMap } from "./go-syntax.ts";
import { ipErrors, isIPv4 } from "./ip.ts";
import { dnsSubdomainErrors, qualifiedNameErrors } from "./names.ts";
import type { PodObject } from "./pod-columns.ts";
import { qosClassOf } from "./pod-requests.ts";
import { validatePodSpec } from "./pod-spec.ts";
import { keepField } from "./strategy.ts";

const immutableText =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

export function validatePodUpdate(object: PodObject, old: PodObject): FieldError[] {
  const { spec } = object;
  const before = old.spec;
  const errors: FieldError[] = [];
  for (const field of ["containers", "initContainers"] as const)
    if ((spec[field] ?? []).length !== (before[field] ?? []).length)
      return [...errors, forbidden(`spec.${field}`, "pod updates may not add or remove containers")];
  errors.push(...deadlineErrors(spec, before), ...tolerationErrors(spec.tolerations, before.tolerations));
  errors.push(...gateErrors(spec, before));

  // Everything that may change is made equal; whatever still differs may not.
  const munged = copyOf(spec);
  for (const field of ["containers", "initContainers"] as const)
    for (const [index, container] of (munged[field] ?? []).entries()) {
      const image = before[field]?.[index]?.image;
      if (image === undefined) delete container.image;
      else container.image = image;
    }
  keepSpec(munged, before, "activeDeadlineSeconds");
  keepSpec(munged, before, "schedulingGates");
  keepSpec(munged, before, "tolerations");
  if ((before.terminationGracePeriodSeconds ?? 0) < 0 && munged.terminationGracePeriodSeconds === 1)
    keepSpec(munged, before, "terminationGracePeriodSeconds");
  if ((before.schedulingGates ?? []).length > 0) {
    errors.push(...gatedNodeSelectorErrors(spec, before));
    keepSpec(munged, before, "nodeSelector");
    if (!deepEqual(munged.affinity?.nodeAffinity, before.affinity?.nodeAffinity)) {
      errors.push(...gatedNodeAffinityErrors(spec, before));
      if (before.affinity === undefined) {
        if (munged.affinity !== undefined) {
          delete munged.affinity.nodeAffinity;
          if (Object.keys(munged.affinity).length === 0) delete munged.affinity;
        }
      } else {
        munged.affinity ??= {};
        if (before.affinity.nodeAffinity === undefined) delete munged.affinity.nodeAffinity;
        else munged.affinity.nodeAffinity = before.affinity.nodeAffinity;
      }
    }
  }
  if (!deepEqual(munged, before)) errors.push(forbidden("spec", immutableText));
  return errors;
}

function keepSpec(spec: PodSpec, before: PodSpec, field: keyof PodSpec): void {
  if (before[field] === undefined) delete spec[field];
  else (spec as unknown as Record<string, unknown>)[field] = before[field];
}

function deadlineErrors(spec: PodSpec, before: PodSpec): FieldError[] {
  const path = "spec.activeDeadlineSeconds";
  const value = spec.activeDeadlineSeconds;
  const previous = before.activeDeadlineSeconds;
  if (value !== undefined) {
    if (value < 0 || value > 2147483647)
      return [invalid(path, value, "must be between 0 and 2147483647, inclusive")];
    if (previous !== undefined && previous < value)
      return [invalid(path, value, "must be less than or equal to previous value")];
  } else if (previous !== undefined)
    return [invalid(path, undefined, "must not update from a positive integer to nil value")];
  return [];
}

function tolerationErrors(
  tolerations: readonly Toleration[] | undefined,
  before: readonly Toleration[] | undefined,
): FieldError[] {
  const withoutSeconds = (each: Toleration): object => {
    const rest = { ...each };
    delete rest.tolerationSeconds;
    return rest;
  };
  for (const each of before ?? []) {
    const kept = (tolerations ?? []).some((other) => deepEqual(withoutSeconds(other), withoutSeconds(each)));
    if (!kept)
      return [
        forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"),
      ];
  }
  return [];
}

function gateErrors(spec: PodSpec, before: PodSpec): FieldError[] {
  const known = new Set((before.schedulingGates ?? []).map((each) => each.name));
  return (spec.schedulingGates ?? []).flatMap((gate, index) =>
    known.has(gate.name)
      ? []
      : [
          forbidden(
            `spec.schedulingGates[${index}].name`,
            `only deletion is allowed, but found new scheduling gate '${gate.name}'`,
          ),
        ],
  );
}

function gatedNodeSelectorErrors(spec: PodSpec, before: PodSpec): FieldError[] {
  const changed = Object.entries(before.nodeSelector ?? {}).some(
    ([key, value]) => spec.nodeSelector?.[key] !== value,
  );
  return changed
    ? [
        invalid(
          "spec.nodeSelector",
          goStringMap(spec.nodeSelector),
          "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ),
      ]
    : [];
}

function gatedNodeAffinityErrors(spec: PodSpec, before: PodSpec): FieldError[] {
  const path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution";
  const old = before.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const current = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (old === undefined) return [];
  const terms = current?.nodeSelectorTerms ?? [];
  if (terms.length !== old.nodeSelectorTerms.length)
    return [
      invalid(
        `${path}.nodeSelectorTerms`,
        terms,
        "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
      ),
    ];
  return terms.flatMap((term, index) => {
    const was = old.nodeSelectorTerms[index];
    const grown = (list: readonly unknown[] | undefined, more: readonly unknown[] | undefined): boolean =>
      (list ?? []).every((each, position) => deepEqual(each, more?.[position]));
    const empty = (was?.matchExpressions ?? []).length === 0 && (was?.matchFields ?? []).length === 0;
    if (deepEqual(term, was)) return [];
    if (
      !empty &&
      grown(was?.matchExpressions, term.matchExpressions) &&
      grown(was?.matchFields, term.matchFields)
    )
      return [];
    return [
      invalid(
        `${path}.nodeSelectorTerms[${index}]`,
        term,
        "only additions are allowed (no mutations or deletions)",
      ),
    ];
  });
}

/** The status of a pod, written by its node: the spec and the owners stay. */
export function preparePodStatus(object: PodObject, old: PodObject): void {
  keepField(object, old, "spec");
  delete object.metadata.deletionTimestamp;
  if (old.metadata.deletionTimestamp !== undefined)
    object.metadata.deletionTimestamp = old.metadata.deletionTimestamp;
  if (old.metadata.ownerReferences === undefined) delete object.metadata.ownerReferences;
  else object.metadata.ownerReferences = old.metadata.ownerReferences;
  object.status ??= {};
  if (!object.status.qosClass) object.status.qosClass = old.status?.qosClass ?? qosClassOf(object.spec);
}

export function validatePodStatusUpdate(object: PodObject, old: PodObject): FieldError[] {
  const errors: FieldError[] = [];
  const { status = {} } = object;
  if (object.spec.nodeName !== old.spec.nodeName)
    errors.push(forbidden("status.nodeName", "may not be changed directly"));
  const before = old.status?.qosClass;
  if (before && status.qosClass !== before)
    errors.push(invalid("status.qosClass", status.qosClass ?? "", "field is immutable"));
  const nominated = status.nominatedNodeName;
  if (nominated && nominated !== old.status?.nominatedNodeName)
    errors.push(
      ...dnsSubdomainErrors(nominated).map((each) => invalid("status.nominatedNodeName", nominated, each)),
    );
  const policy = old.spec.restartPolicy;
  const sidecars = new Set(
    (old.spec.initContainers ?? [])
      .filter((each) => each.restartPolicy === "Always")
      .map((each) => each.name),
  );
  return [
    ...conditionTypeErrors(status.conditions),
    ...errors,
    ...transitionErrors(object, old, "containerStatuses", policy),
    ...transitionErrors(object, old, "initContainerStatuses", policy, sidecars),
    ...transitionErrors(object, old, "ephemeralContainerStatuses", "Never"),
    ...addressErrors("podIP", status.podIPs),
    ...addressErrors("hostIP", status.hostIPs),
  ];
}

/** Conditions that are not the system's own have qualified names. Upstream looks for them in the metadata. */
function conditionTypeErrors(conditions: readonly { type: string }[] | undefined): FieldError[] {
  const own = ["PodScheduled", "Ready", "Initialized"];
  return (conditions ?? []).flatMap(({ type }, index) =>
    own.includes(type)
      ? []
      : qualifiedNameErrors(type).map((each) => invalid(`metadata.conditions[${index}].Type`, type, each)),
  );
}

/** A container that is over stays over, unless it may be started again. */
function transitionErrors(
  object: PodObject,
  old: PodObject,
  field: "containerStatuses" | "initContainerStatuses" | "ephemeralContainerStatuses",
  policy: string | undefined,
  restarting: ReadonlySet<string> = new Set(),
): FieldError[] {
  if (policy === "Always") return [];
  return (old.status?.[field] ?? []).flatMap((was, index) => {
    const code = was.state?.terminated?.exitCode;
    if (code === undefined || (code !== 0 && policy === "OnFailure") || restarting.has(was.name)) return [];
    return (object.status?.[field] ?? [])
      .filter((each) => each.name === was.name && each.state?.terminated === undefined)
      .map(() =>
        forbidden(`status.${field}[${index}].state`, "may not be transitioned to non-terminated state"),
      );
  });
}

/** At most one address of each family. */
function addressErrors(what: "podIP" | "hostIP", list: readonly { ip?: string }[] | undefined): FieldError[] {
  const path = `status.${what}s`;
  const addresses = (list ?? []).map((each) => each.ip ?? "");
  const errors = addresses.flatMap((ip, index) =>
    ipErrors(ip).map((each) => invalid(`${path}[${index}]`, ip, each)),
  );
  if (errors.length > 0 || addresses.length < 2) return errors;
  const type = what === "podIP" ? "PodIP" : "HostIP";
  const shown = addresses.map((ip) => `core.${type}{IP:${JSON.stringify(ip)}}`);
  if (addresses.length > 2 || isIPv4(addresses[0] ?? "") === isIPv4(addresses[1] ?? ""))
    errors.push(
      invalid(
        path,
        { goSyntax: `[]core.${type}{${shown.join(", ")}}` },
        "may specify no more than one IP for each IP family",
      ),
    );
  for (const [index, ip] of addresses.entries())
    if (addresses.indexOf(ip) < index)
      errors.push(duplicate(`${path}[${index}]`, { goSyntax: shown[index] ?? "" }));
  return errors;
}

/** Only spec.ephemeralContainers may change. */
export function prepareEphemeralContainers(object: PodObject, old: PodObject): void {
  const added = object.spec.ephemeralContainers;
  const metadata = copyOf(old.metadata);
  if (object.metadata.resourceVersion !== undefined)
    metadata.resourceVersion = object.metadata.resourceVersion;
  if (object.metadata.managedFields !== undefined) metadata.managedFields = object.metadata.managedFields;
  object.metadata = metadata;
  object.spec = copyOf(old.spec);
  if (added === undefined) delete object.spec.ephemeralContainers;
  else object.spec.ephemeralContainers = added;
  keepField(object, old, "status");
}

export function validateEphemeralContainersUpdate(object: PodObject, old: PodObject): FieldError[] {
  const errors = validatePodSpec(object.spec, object.metadata.name ?? "", "spec");
  const current = new Map((object.spec.ephemeralContainers ?? []).map((each) => [each.name, each]));
  const path = "spec.ephemeralContainers";
  if (old.metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined)
    return [forbidden("", "static pods do not support ephemeral containers"), ...errors];
  for (const was of old.spec.ephemeralContainers ?? []) {
    const is: EphemeralContainer | undefined = current.get(was.name);
    if (is === undefined)
      errors.push(
        forbidden(path, `existing ephemeral containers ${JSON.stringify(was.name)} may not be removed\n`),
      );
    else if (!deepEqual(is, was))
      errors.push(
        forbidden(path, `existing ephemeral containers ${JSON.stringify(was.name)} may not be changed\n`),
      );
  }
  return errors;
}
