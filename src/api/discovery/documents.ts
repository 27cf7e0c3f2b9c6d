/**
 * Discovery documents from the live registry: the legacy lists and the aggregated form. Pure: a registry
 * in, plain objects out.
 */
import { createHash } from "node:crypto";
import type { Resource } from "../registry.ts";
import { groupRank } from "./group-priorities.ts";

export interface ServedGroup {
  group: string;
  /** Preferred first. */
  versions: { version: string; resources: Resource[] }[];
}

/** Groups of custom resources come after the built-in ones, by name. */
export function servedGroups(resources: Iterable<Resource>): ServedGroup[] {
  const groups = new Map<string, ServedGroup & { custom: boolean }>();
  for (const resource of resources) {
    const { group, version } = resource.kind;
    let served = groups.get(group);
    if (served === undefined) {
      served = { group, versions: [], custom: resource.custom };
      groups.set(group, served);
    }
    let entry = served.versions.find((each) => each.version === version);
    if (entry === undefined) {
      entry = { version, resources: [] };
      served.versions.push(entry);
    }
    entry.resources.push(resource);
  }
  for (const served of groups.values()) {
    served.versions.sort((left, right) => compareVersions(right.version, left.version));
    for (const each of served.versions) {
      each.resources.sort((left, right) => (left.kind.plural < right.kind.plural ? -1 : 1));
    }
  }
  const builtIn = [...groups.values()].filter((each) => !each.custom);
  builtIn.sort((left, right) => groupRank(left.group) - groupRank(right.group));
  const custom = [...groups.values()].filter((each) => each.custom);
  custom.sort((left, right) => (left.group < right.group ? -1 : 1));
  return [...builtIn, ...custom];
}

/** Kubernetes's order of versions: v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > anything else by name. */
export function compareVersions(left: string, right: string): number {
  const a = versionRank(left);
  const b = versionRank(right);
  for (let index = 0; index < 3; index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return left < right ? 1 : left > right ? -1 : 0;
}

function versionRank(version: string): number[] {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (match === null) return [-1, 0, 0];
  const stability = match[2] === undefined ? 2 : match[2] === "beta" ? 1 : 0;
  return [stability, Number(match[1]), Number(match[3] ?? 0)];
}

interface LegacyResource {
  name: string;
  singularName: string;
  namespaced: boolean;
  group?: string;
  version?: string;
  kind: string;
  verbs: readonly string[];
  shortNames?: readonly string[];
  categories?: readonly string[];
  storageVersionHash?: string;
}

export function resourceList(groupVersion: string, resources: readonly Resource[]): Record<string, unknown> {
  const list: LegacyResource[] = [];
  for (const resource of resources) {
    const { kind } = resource;
    list.push({
      name: kind.plural,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs: kind.verbs,
      ...(kind.shortNames === undefined ? {} : { shortNames: kind.shortNames }),
      ...(kind.categories === undefined ? {} : { categories: kind.categories }),
      ...(resource.stored === undefined || !kind.verbs.includes("watch")
        ? {}
        : { storageVersionHash: storageVersionHash(resource) }),
    });
    for (const [name, subresource] of Object.entries(kind.subresources ?? {})) {
      const speaks = subresource.speaks;
      const isForeign =
        speaks !== undefined && (speaks.group !== kind.group || speaks.version !== kind.version);
      list.push({
        name: `${kind.plural}/${name}`,
        singularName: "",
        namespaced: kind.namespaced,
        ...(isForeign ? { group: speaks.group, version: speaks.version } : {}),
        kind: speaks?.kind ?? kind.kind,
        verbs: subresource.verbs,
      });
    }
  }
  list.sort((left, right) => (left.name < right.name ? -1 : left.name > right.name ? 1 : 0));
  return {
    kind: "APIResourceList",
    ...(groupVersion === "v1" ? {} : { apiVersion: "v1" }),
    groupVersion,
    resources: list,
  };
}

/** Upstream has not changed these since they were stored in an older version; clients only compare them. */
const pinnedStorageVersions: Readonly<Record<string, string>> = {
  "customresourcedefinitions.apiextensions.k8s.io": "apiextensions.k8s.io/v1beta1",
};

/** Changes when objects are stored in another version. */
function storageVersionHash(resource: Resource): string {
  const { kind } = resource;
  const stored = resource.stored?.codec.apiVersion ?? resource.groupVersion;
  const version =
    pinnedStorageVersions[`${kind.plural}.${kind.group}`] ?? (stored.includes("/") ? stored : `/${stored}`);
  return createHash("sha256").update(`${version}/${kind.kind}`).digest().subarray(0, 8).toString("base64");
}

export function groupObject(served: ServedGroup): Record<string, unknown> {
  const versions = served.versions.map((each) => ({
    groupVersion: `${served.group}/${each.version}`,
    version: each.version,
  }));
  return { name: served.group, versions, preferredVersion: versions[0] };
}

/** The aggregated document of all groups, or of the core group alone. */
export function aggregated(groups: readonly ServedGroup[], apiVersion: string): Record<string, unknown> {
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion,
    metadata: {},
    items: groups.map((served) => ({
      metadata: { ...(served.group === "" ? {} : { name: served.group }), creationTimestamp: null },
      versions: served.versions.map((each) => ({
        version: each.version,
        resources: each.resources.map(aggregatedResource),
        freshness: "Current",
      })),
    })),
  };
}

function aggregatedResource(resource: Resource): Record<string, unknown> {
  const { kind } = resource;
  const own = resource.custom ? { group: kind.group, version: kind.version } : { group: "", version: "" };
  const subresources = Object.entries(kind.subresources ?? {}).sort(([left], [right]) =>
    left < right ? -1 : 1,
  );
  return {
    resource: kind.plural,
    responseKind: { ...own, kind: kind.kind },
    scope: kind.namespaced ? "Namespaced" : "Cluster",
    singularResource: kind.singular,
    verbs: kind.verbs,
    ...(kind.shortNames === undefined ? {} : { shortNames: kind.shortNames }),
    ...(kind.categories === undefined ? {} : { categories: kind.categories }),
    ...(subresources.length === 0
      ? {}
      : {
          subresources: subresources.map(([name, each]) => {
            const speaks = each.speaks;
            const isForeign =
              speaks !== undefined && (speaks.group !== kind.group || speaks.version !== kind.version);
            return {
              subresource: name,
              responseKind: isForeign
                ? { group: speaks.group, version: speaks.version, kind: speaks.kind }
                : { ...own, kind: speaks?.kind ?? kind.kind },
              verbs: each.verbs,
            };
          }),
        }),
  };
}
