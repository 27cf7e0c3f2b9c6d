/** Aggregated ClusterRoles: their rules are those of all roles that their selectors match. */
import { on, patch } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { canonicalJson } from "./hash.ts";
import { clusterRoles } from "./kubernetes.ts";
import type { ClusterRole } from "./kubernetes.ts";
import { selects } from "./selector.ts";

export const roleAggregationController: Controller = {
  name: "clusterrole-aggregation-controller",
  triggers: [on(clusterRoles, aggregatedRoles)],
  writes: [clusterRoles],
  plan: planRole,
};

export function* planRole(view: View, key: string): Plan {
  const role = view.get(clusterRoles, undefined, key);
  const selectors = role?.aggregationRule?.clusterRoleSelectors;
  if (role === undefined || selectors === undefined) return;
  const rules = new Map<string, unknown>();
  const sources = view
    .list(clusterRoles)
    .filter(
      (each) =>
        each.metadata.name !== key && selectors.some((selector) => selects(selector, each.metadata.labels)),
    )
    .sort((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
  for (const rule of sources.flatMap((each) => each.rules ?? [])) rules.set(canonicalJson(rule), rule);
  const wanted = [...rules.values()];
  if (equal(wanted, role.rules)) return;
  yield* patch(clusterRoles, role, "merge", {
    metadata: { resourceVersion: role.metadata.resourceVersion },
    rules: wanted,
  });
}

function* aggregatedRoles(_role: ClusterRole, view: View): Iterable<string> {
  for (const role of view.list(clusterRoles))
    if (role.aggregationRule !== undefined) yield role.metadata.name ?? "";
}
