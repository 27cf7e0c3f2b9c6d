/**
 * What the server makes of a CustomResourceDefinition: whether its names are free, and whether it is
 * served (the naming and establishing controllers of upstream's apiextensions server, as a function).
 */
import { cloneJson, equalJson } from "#api/patch/json.ts";
import { approvalOf } from "./approval.ts";
import { conditionOf } from "./definition.ts";
import type { CrdCondition, CustomNames, CustomResourceDefinition } from "./definition.ts";

/** The new status, or undefined where nothing changes. `others` are all definitions of the same group but this one. */
export function planCrdStatus(
  crd: CustomResourceDefinition,
  others: readonly CustomResourceDefinition[],
  now: string,
): CustomResourceDefinition["status"] {
  const before = crd.status ?? {};
  const { accepted, conflict } = acceptNames(crd, others);
  const established = conditionOf(crd, "Established")?.status === "True";
  let conditions = before.conditions ?? [];
  conditions = withCondition(
    conditions,
    conflict ?? {
      type: "NamesAccepted",
      status: "True",
      reason: "NoConflicts",
      message: "no conflicts found",
    },
    now,
  );
  // Once served a definition stays so, even where a later change of its names is not accepted.
  conditions = withCondition(
    conditions,
    conflict === undefined || established
      ? {
          type: "Established",
          status: "True",
          reason: "InitialNamesAccepted",
          message: "the initial names have been accepted",
        }
      : {
          type: "Established",
          status: "False",
          reason: "NotAccepted",
          message: "not all names are accepted",
        },
    now,
  );
  const approval = approvalCondition(crd);
  if (approval !== undefined) conditions = withCondition(conditions, approval, now);
  const status = { ...before, conditions, acceptedNames: accepted };
  return equalJson(status, before) ? undefined : cloneJson(status);
}

/** Whether a definition in a group of the community says where it was approved. */
function approvalCondition({ metadata, spec }: CustomResourceDefinition): CrdCondition | undefined {
  const approval = approvalOf(spec.group, metadata.annotations);
  if (approval === undefined) return undefined;
  const reasons = {
    missing: "MissingAnnotation",
    invalid: "InvalidAnnotation",
    bypassed: "UnapprovedAnnotation",
    approved: "ApprovedAnnotation",
  };
  return {
    type: "KubernetesAPIApprovalPolicyConformant",
    status: approval.state === "approved" ? "True" : "False",
    reason: reasons[approval.state],
    message: approval.message,
  };
}

/** The new status of a definition whose objects are being deleted, or undefined where nothing changes. */
export function planDeletionStatus(
  crd: CustomResourceDefinition,
  now: string,
): CustomResourceDefinition["status"] {
  const before = crd.status ?? {};
  const inProgress: CrdCondition = {
    type: "Terminating",
    status: "True",
    reason: "InstanceDeletionInProgress",
    message: "CustomResource deletion is in progress",
  };
  const status = { ...before, conditions: withCondition(before.conditions ?? [], inProgress, now) };
  return equalJson(status, before) ? undefined : status;
}

function acceptNames(
  crd: CustomResourceDefinition,
  others: readonly CustomResourceDefinition[],
): { accepted: CustomNames; conflict: CrdCondition | undefined } {
  const wanted = crd.spec.names;
  const accepted: CustomNames = cloneJson(crd.status?.acceptedNames ?? { plural: "", kind: "" });
  const taken = others.flatMap((each) =>
    each.status?.acceptedNames === undefined ? [] : [each.status.acceptedNames],
  );
  const resources = new Set(
    taken.flatMap((each) => [each.plural, each.singular ?? "", ...(each.shortNames ?? [])]),
  );
  const kinds = new Set(taken.flatMap((each) => [each.kind, each.listKind ?? ""]));
  let conflict: CrdCondition | undefined;
  const check = (isTaken: boolean, reason: string, name: string, accept: () => void) => {
    if (name === "") return;
    if (isTaken)
      conflict = {
        type: "NamesAccepted",
        status: "False",
        reason,
        message: `${JSON.stringify(name)} is already in use`,
      };
    else accept();
  };
  check(
    resources.has(wanted.plural),
    "PluralConflict",
    wanted.plural,
    () => (accepted.plural = wanted.plural),
  );
  const singular = wanted.singular ?? "";
  check(resources.has(singular), "SingularConflict", singular, () => (accepted.singular = singular));
  const shortTaken = (wanted.shortNames ?? []).find((each) => resources.has(each));
  if (shortTaken !== undefined) check(true, "ShortNamesConflict", shortTaken, () => undefined);
  else if (wanted.shortNames !== undefined) accepted.shortNames = [...wanted.shortNames];
  check(kinds.has(wanted.kind), "KindConflict", wanted.kind, () => (accepted.kind = wanted.kind));
  const listKind = wanted.listKind ?? "";
  check(kinds.has(listKind), "ListKindConflict", listKind, () => (accepted.listKind = listKind));
  if (wanted.categories !== undefined) accepted.categories = [...wanted.categories];
  return { accepted, conflict };
}

/** The conditions with one set; its time changes only with its status. */
export function withCondition(
  conditions: readonly CrdCondition[],
  condition: CrdCondition,
  now: string,
): CrdCondition[] {
  const known = conditions.find((each) => each.type === condition.type);
  const lastTransitionTime = known?.status === condition.status ? (known.lastTransitionTime ?? now) : now;
  const { type, status, reason, message } = condition;
  const made: CrdCondition = {
    type,
    status,
    lastTransitionTime,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  };
  return known === undefined
    ? [...conditions, made]
    : conditions.map((each) => (each.type === condition.type ? made : each));
}
