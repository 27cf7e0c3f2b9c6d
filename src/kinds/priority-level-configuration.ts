/** PriorityLevelConfiguration (flowcontrol.apiserver.k8s.io/v1). */
import { type FieldError, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { ageColumn, nameColumn, text } from "./columns.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration";

interface Queuing {
  queues?: number;
  handSize?: number;
  queueLengthLimit?: number;
}

interface PriorityLevelObject extends KubeObject {
  spec: {
    type?: string;
    limited?: {
      nominalConcurrencyShares?: number;
      lendablePercent?: number;
      borrowingLimitPercent?: number;
      limitResponse?: {
        type?: string;
        queuing?: Queuing;
      };
    };
    exempt?: { nominalConcurrencyShares?: number; lendablePercent?: number };
  };
}

export const priorityLevelConfiguration = defineKind<PriorityLevelObject>({
  group: "flowcontrol.apiserver.k8s.io",
  version: "v1",
  kind: "PriorityLevelConfiguration",
  plural: "prioritylevelconfigurations",
  singular: "prioritylevelconfiguration",
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  ...withStatus(schemaName),
  subresources: {
    status: statusSubresource({ keepMetadata: true }),
  },
  applyDefaults({ spec }) {
    if (spec.exempt !== undefined) {
      spec.exempt.nominalConcurrencyShares ??= 0;
      spec.exempt.lendablePercent ??= 0;
    }
    if (spec.limited === undefined) return;
    spec.limited.nominalConcurrencyShares ??= 30;
    spec.limited.lendablePercent ??= 0;
    const queuing = spec.limited.limitResponse?.queuing;
    if (queuing === undefined) return;
    queuing.handSize ||= 8;
    queuing.queues ||= 64;
    queuing.queueLengthLimit ||= 50;
  },
  validate: validateLevel,
  validateUpdate: validateLevel,
  columns: [
    nameColumn,
    text("Type", "Limited or exempt.", ({ spec }) => spec.type ?? ""),
    {
      name: "NominalConcurrencyShares",
      type: "string",
      description: "Share of the server's seats.",
      priority: 0,
      cell: ({ spec }) => (spec.limited ?? spec.exempt)?.nominalConcurrencyShares ?? "<none>",
    },
    {
      name: "Queues",
      type: "string",
      description: "Number of queues.",
      priority: 0,
      cell: ({ spec }) => spec.limited?.limitResponse?.queuing?.queues ?? "<none>",
    },
    {
      name: "HandSize",
      type: "string",
      description: "Queues that a flow is dealt.",
      priority: 0,
      cell: ({ spec }) => spec.limited?.limitResponse?.queuing?.handSize ?? "<none>",
    },
    {
      name: "QueueLengthLimit",
      type: "string",
      description: "Requests that may wait in a queue.",
      priority: 0,
      cell: ({ spec }) => spec.limited?.limitResponse?.queuing?.queueLengthLimit ?? "<none>",
    },
    ageColumn,
  ],
});

function validateLevel({ metadata, spec }: PriorityLevelObject): FieldError[] {
  const { type = "", limited, exempt } = spec;
  const errors: FieldError[] = [];
  if ((metadata.name === "exempt") !== (type === "Exempt"))
    errors.push(invalid("spec.type", type, "type must be 'Exempt' if and only if name is 'exempt'"));
  if (type === "Exempt") {
    if (limited !== undefined)
      errors.push(forbidden("spec.limited", "must be nil if the type is not Limited"));
    if (exempt !== undefined) errors.push(...shareErrors(exempt, "spec.exempt"));
  } else if (type === "Limited") {
    if (exempt !== undefined) errors.push(forbidden("spec.exempt", "must be nil if the type is Limited"));
    if (limited === undefined)
      errors.push(required("spec.limited", "must not be empty when type is Limited"));
    else errors.push(...limitedErrors(limited));
  } else errors.push(notSupported("spec.type", type, ["Exempt", "Limited"]));
  return errors;
}

function limitedErrors(limited: NonNullable<PriorityLevelObject["spec"]["limited"]>): FieldError[] {
  const path = "spec.limited";
  const errors = shareErrors(limited, path);
  const borrowing = limited.borrowingLimitPercent;
  if (borrowing !== undefined && borrowing < 0)
    errors.push(
      invalid(`${path}.borrowingLimitPercent`, borrowing, "if specified, must be a non-negative integer"),
    );
  const at = `${path}.limitResponse`;
  const { type = "", queuing } = limited.limitResponse ?? {};
  if (type === "Reject") {
    if (queuing !== undefined)
      errors.push(forbidden(`${at}.queuing`, "must be nil if limited.limitResponse.type is not Limited"));
  } else if (type === "Queue") {
    if (queuing === undefined)
      errors.push(required(`${at}.queuing`, "must not be empty if limited.limitResponse.type is Limited"));
    else errors.push(...queuingErrors(queuing, `${at}.queuing`));
  } else errors.push(notSupported(`${at}.type`, type, ["Queue", "Reject"]));
  return errors;
}

function shareErrors(
  {
    nominalConcurrencyShares: shares = 0,
    lendablePercent: lendable = 0,
  }: {
    nominalConcurrencyShares?: number;
    lendablePercent?: number;
  },
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (shares < 0)
    errors.push(invalid(`${path}.nominalConcurrencyShares`, shares, "must be a non-negative integer"));
  if (lendable < 0 || lendable > 100)
    errors.push(invalid(`${path}.lendablePercent`, lendable, "must be between 0 and 100, inclusive"));
  return errors;
}

function queuingErrors(
  { queues = 0, handSize = 0, queueLengthLimit = 0 }: Queuing,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (queueLengthLimit <= 0)
    errors.push(invalid(`${path}.queueLengthLimit`, queueLengthLimit, "must be positive"));
  if (queues <= 0) errors.push(invalid(`${path}.queues`, queues, "must be positive"));
  if (queues > 10_000_000)
    errors.push(invalid(`${path}.queues`, queues, "must not be greater than 10000000"));
  if (handSize <= 0) errors.push(invalid(`${path}.handSize`, handSize, "must be positive"));
  if (handSize > queues)
    errors.push(invalid(`${path}.handSize`, handSize, `should not be greater than queues (${queues})`));
  return errors;
}
