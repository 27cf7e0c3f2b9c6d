/**
 * The priority levels and flow schemas that every cluster has: the mandatory ones (exempt, catch-all)
 * and those that upstream suggests. They describe; this server bounds requests by its own numbers.
 */
import type { KubeObject } from "#kinds/object.ts";
import type { BootstrapObjects } from "./bootstrap.ts";

const group = "flowcontrol.apiserver.k8s.io";
const apiVersion = `${group}/v1`;
const annotations = { "apf.kubernetes.io/autoupdate-spec": "true" };

/** name: seats, percent lent to others, and queues / hand size, or nothing for levels that refuse. */
const levels: Readonly<Record<string, readonly [number, number, string?]>> = {
  "catch-all": [5, 0],
  "global-default": [20, 50, "128/6"],
  "leader-election": [10, 0, "16/4"],
  "node-high": [40, 25, "64/6"],
  system: [30, 33, "64/6"],
  "workload-high": [40, 50, "128/6"],
  "workload-low": [100, 90, "128/6"],
};
const queueLengthLimit = 50;

export function priorityLevels(): BootstrapObjects {
  const exempt = { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } };
  const limited = Object.entries(levels).map(([name, [nominalConcurrencyShares, lendablePercent, hand]]) => {
    const [queues, handSize] = (hand ?? "").split("/").map(Number);
    const queuing = { queues, handSize, queueLengthLimit };
    const limitResponse = hand === undefined ? { type: "Reject" } : { type: "Queue", queuing };
    return level(name, {
      type: "Limited",
      limited: { nominalConcurrencyShares, limitResponse, lendablePercent },
    });
  });
  return {
    group,
    version: "v1",
    plural: "prioritylevelconfigurations",
    objects: [level("exempt", exempt), ...limited],
  };
}

function level(name: string, spec: Record<string, unknown>): KubeObject {
  return { apiVersion, kind: "PriorityLevelConfiguration", metadata: { name, annotations }, spec };
}

interface Schema {
  level: string;
  precedence: number;
  /** Absent: requests of one flow are not told apart. */
  by?: "ByUser" | "ByNamespace";
  /** "Group system:nodes", "User x", "ServiceAccount namespace/name". */
  subjects: readonly string[];
  /** "verbs | group | resources", with "cluster" at the end where objects without namespace count too. */
  resources: readonly string[];
  paths?: { verbs: readonly string[]; urls: readonly string[] };
}

const everybody = ["Group system:unauthenticated", "Group system:authenticated"];
const everything = {
  resources: ["* | * | * | cluster"],
  paths: { verbs: ["*"], urls: ["*"] },
};
const leases = "get,create,update | coordination.k8s.io | leases";

const schemas: Readonly<Record<string, Schema>> = {
  exempt: { level: "exempt", precedence: 1, subjects: ["Group system:masters"], ...everything },
  probes: {
    level: "exempt",
    precedence: 2,
    subjects: everybody,
    resources: [],
    paths: { verbs: ["get"], urls: ["/healthz", "/readyz", "/livez"] },
  },
  "system-leader-election": {
    level: "leader-election",
    precedence: 100,
    by: "ByUser",
    subjects: [
      "User system:kube-controller-manager",
      "User system:kube-scheduler",
      "ServiceAccount kube-system/*",
    ],
    resources: [leases],
  },
  "endpoint-controller": {
    level: "workload-high",
    precedence: 150,
    by: "ByUser",
    subjects: [
      "User system:kube-controller-manager",
      "ServiceAccount kube-system/endpoint-controller",
      "ServiceAccount kube-system/endpointslicemirroring-controller",
    ],
    resources: ["get,create,update | core | endpoints"],
  },
  "workload-leader-election": {
    level: "leader-election",
    precedence: 200,
    by: "ByUser",
    subjects: ["ServiceAccount kube-system/*"],
    resources: ["get,create,update | core | endpoints,configmaps", leases],
  },
  "system-node-high": {
    level: "node-high",
    precedence: 400,
    by: "ByUser",
    subjects: ["Group system:nodes"],
    resources: ["* | core | nodes,nodes/status | cluster", "* | coordination.k8s.io | leases"],
  },
  "system-nodes": {
    level: "system",
    precedence: 500,
    by: "ByUser",
    subjects: ["Group system:nodes"],
    ...everything,
  },
  "kube-controller-manager": {
    level: "workload-high",
    precedence: 800,
    by: "ByNamespace",
    subjects: ["User system:kube-controller-manager"],
    ...everything,
  },
  "kube-scheduler": {
    level: "workload-high",
    precedence: 800,
    by: "ByNamespace",
    subjects: ["User system:kube-scheduler"],
    ...everything,
  },
  "kube-system-service-accounts": {
    level: "workload-high",
    precedence: 900,
    by: "ByNamespace",
    subjects: ["ServiceAccount kube-system/*"],
    ...everything,
  },
  "service-accounts": {
    level: "workload-low",
    precedence: 9000,
    by: "ByUser",
    subjects: ["Group system:serviceaccounts"],
    ...everything,
  },
  "global-default": {
    level: "global-default",
    precedence: 9900,
    by: "ByUser",
    subjects: everybody,
    ...everything,
  },
  "catch-all": {
    level: "catch-all",
    precedence: 10_000,
    by: "ByUser",
    subjects: everybody,
    ...everything,
  },
};

export function flowSchemas(now: string): BootstrapObjects {
  const objects = Object.entries(schemas).map(([name, schema]): KubeObject => {
    const resourceRules = schema.resources.map(resourceRule);
    const { paths } = schema;
    return {
      apiVersion,
      kind: "FlowSchema",
      metadata: { name, annotations },
      spec: {
        priorityLevelConfiguration: { name: schema.level },
        matchingPrecedence: schema.precedence,
        ...(schema.by === undefined ? {} : { distinguisherMethod: { type: schema.by } }),
        rules: [
          {
            subjects: schema.subjects.map(subject),
            ...(resourceRules.length === 0 ? {} : { resourceRules }),
            ...(paths === undefined
              ? {}
              : { nonResourceRules: [{ verbs: paths.verbs, nonResourceURLs: paths.urls }] }),
          },
        ],
      },
      status: {
        conditions: [
          {
            type: "Dangling",
            status: "False",
            lastTransitionTime: now,
            reason: "Found",
            message: `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(schema.level)} and it exists`,
          },
        ],
      },
    };
  });
  return { group, version: "v1", plural: "flowschemas", objects };
}

function subject(text: string): Record<string, unknown> {
  const [kind = "", who = ""] = text.split(" ");
  if (kind === "Group") return { kind, group: { name: who } };
  if (kind === "User") return { kind, user: { name: who } };
  const [namespace, name] = who.split("/");
  return { kind, serviceAccount: { namespace, name } };
}

function resourceRule(text: string): Record<string, unknown> {
  const [verbs = "", apiGroup = "", resources = "", scope] = text.split(" | ");
  return {
    verbs: verbs.split(","),
    apiGroups: [apiGroup === "core" ? "" : apiGroup],
    resources: resources.split(","),
    ...(scope === "cluster" ? { clusterScope: true } : {}),
    namespaces: ["*"],
  };
}
