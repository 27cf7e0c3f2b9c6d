/**
 * The built-in groups in the order in which discovery lists them, with the priority that upstream gives
 * them. The group of APIServices itself has none: it is there without being registered.
 */
export const groupPriorities: ReadonlyMap<string, number> = new Map([
  ["", 18_000],
  ["apiregistration.k8s.io", 0],
  ["apps", 17_800],
  ["events.k8s.io", 17_750],
  ["authentication.k8s.io", 17_700],
  ["authorization.k8s.io", 17_600],
  ["autoscaling", 17_500],
  ["batch", 17_400],
  ["certificates.k8s.io", 17_300],
  ["networking.k8s.io", 17_200],
  ["policy", 17_100],
  ["rbac.authorization.k8s.io", 17_000],
  ["storage.k8s.io", 16_800],
  ["admissionregistration.k8s.io", 16_700],
  ["apiextensions.k8s.io", 16_700],
  ["scheduling.k8s.io", 16_600],
  ["coordination.k8s.io", 16_500],
  ["node.k8s.io", 16_300],
  ["discovery.k8s.io", 16_200],
  ["flowcontrol.apiserver.k8s.io", 16_100],
]);

/** Place among the built-in groups; after them all for others. */
export function groupRank(group: string): number {
  const at = [...groupPriorities.keys()].indexOf(group);
  return at < 0 ? groupPriorities.size : at;
}
