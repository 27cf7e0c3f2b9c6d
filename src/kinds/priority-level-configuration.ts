/** PriorityLevelConfiguration (flowcontrol.apiserver.k8s.io/v1). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration";

interface PriorityLevelObject extends KubeObject {
  spec: {
    type?: string;
    limited?: {
      nominalConcurrencyShares?: number;
      lendablePercent?: number;
      limitResponse?: {
        type?: string;
        queuing?: { queues?: number; handSize?: number; queueLengthLimit?: number };
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
