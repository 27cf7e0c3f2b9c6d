/** The default roles and bindings as objects, from their terse tables. */
import type { KubeObject } from "#kinds/object.ts";
import type { PolicyRule, Subject } from "../auth/rbac.ts";
import type { BootstrapObjects } from "./bootstrap.ts";
import { defaultClusterRoleBindings, defaultRoleBindings } from "./default-bindings.ts";
import { defaultClusterRoles, defaultRoles } from "./default-roles.ts";
import type { DefaultRole } from "./default-roles.ts";

const group = "rbac.authorization.k8s.io";
const apiVersion = `${group}/v1`;

export function rbacObjects(): BootstrapObjects[] {
  const place = { group, version: "v1" };
  return [
    {
      ...place,
      plural: "clusterroles",
      objects: defaultClusterRoles.map((each) => role("ClusterRole", each)),
    },
    {
      ...place,
      plural: "clusterrolebindings",
      objects: defaultClusterRoleBindings.map(({ name, role: bound, subjects }) =>
        binding("ClusterRoleBinding", { name }, { kind: "ClusterRole", name: bound ?? name }, subjects),
      ),
    },
    {
      ...place,
      plural: "roles",
      objects: defaultRoles.map((each) => role("Role", each, each.namespace)),
    },
    {
      ...place,
      plural: "rolebindings",
      objects: defaultRoleBindings.map(({ name, namespace, role: bound, subjects }) =>
        binding("RoleBinding", { name, namespace }, { kind: "Role", name: bound ?? name }, subjects),
      ),
    },
  ];
}

function metadata(name: string, labels: Record<string, string> = {}): KubeObject["metadata"] {
  return {
    name,
    labels: { "kubernetes.io/bootstrapping": "rbac-defaults", ...labels },
    annotations: { "rbac.authorization.kubernetes.io/autoupdate": "true" },
  };
}

function aggregationLabel(target: string): string {
  return `${group}/aggregate-to-${target}`;
}

function role(kind: "ClusterRole" | "Role", each: DefaultRole, namespace?: string): KubeObject {
  const labels = Object.fromEntries(
    (each.aggregatesTo ?? []).map((target) => [aggregationLabel(target), "true"]),
  );
  return {
    apiVersion,
    kind,
    metadata: { ...metadata(each.name, labels), ...(namespace === undefined ? {} : { namespace }) },
    ...(each.aggregates === undefined
      ? { rules: each.rules.map(expandRule) }
      : {
          aggregationRule: {
            clusterRoleSelectors: each.aggregates.map((target) => ({
              matchLabels: { [aggregationLabel(target)]: "true" },
            })),
          },
          rules: aggregatedRules(each.aggregates),
        }),
  };
}

/** What the aggregation controller will compute, given at once so that the roles work from the start. */
function aggregatedRules(targets: readonly string[]): PolicyRule[] {
  const sources = defaultClusterRoles.filter((each) =>
    (each.aggregatesTo ?? []).some((target) => targets.includes(target)),
  );
  return sources.flatMap((each) =>
    each.aggregates === undefined ? each.rules.map(expandRule) : aggregatedRules(each.aggregates),
  );
}

/** Reads "verbs | groups | resources | names" and "verbs @ paths". */
export function expandRule(text: string): PolicyRule {
  const list = (part: string | undefined): string[] => (part ?? "").split(",").map((each) => each.trim());
  if (text.includes("@")) {
    const [verbs, paths] = text.split("@");
    return { verbs: list(verbs), nonResourceURLs: list(paths) };
  }
  const [verbs, groups, resources, names] = text.split("|");
  return {
    verbs: list(verbs),
    apiGroups: list(groups).map((each) => (each === "core" ? "" : each)),
    resources: list(resources),
    ...(names === undefined ? {} : { resourceNames: list(names) }),
  };
}

function binding(
  kind: string,
  place: { name: string; namespace?: string },
  roleRef: { kind: string; name: string },
  subjects: readonly string[],
): KubeObject {
  return {
    apiVersion,
    kind,
    metadata: {
      ...metadata(place.name),
      ...(place.namespace === undefined ? {} : { namespace: place.namespace }),
    },
    roleRef: { apiGroup: group, ...roleRef },
    subjects: subjects.map(expandSubject),
  };
}

function expandSubject(text: string): Subject {
  const separator = text.indexOf(":");
  const kind = text.slice(0, separator);
  const rest = text.slice(separator + 1);
  if (kind === "sa") {
    const [namespace = "", name = ""] = rest.split("/");
    return { kind: "ServiceAccount", name, namespace };
  }
  return { kind: kind === "user" ? "User" : "Group", apiGroup: group, name: rest };
}
