/** Which resources the API serves now: one entry per resource, in its group's preferred version. */
import type { ApiClient } from "#client/types.ts";
import type { DiscoveredResource } from "#controllers/controller.ts";

interface ResourceList {
  resources?: { name: string; kind: string; namespaced: boolean; verbs: string[] }[];
}

interface GroupList {
  groups?: { name: string; versions: { version: string }[]; preferredVersion?: { version: string } }[];
}

export async function discover(client: ApiClient): Promise<DiscoveredResource[]> {
  const groups = (await client.getPath("/apis")) as GroupList;
  const found = listed("", "v1", (await client.getPath("/api/v1")) as ResourceList);
  const seen = new Set(found.map((each) => `${each.group}/${each.plural}`));
  for (const group of groups.groups ?? []) {
    const preferred = group.preferredVersion?.version;
    const versions = group.versions.map((each) => each.version);
    // The preferred version first; others only add what it doesn't have.
    versions.sort((a, b) => Number(b === preferred) - Number(a === preferred));
    for (const version of versions) {
      const list = (await client.getPath(`/apis/${group.name}/${version}`)) as ResourceList;
      for (const each of listed(group.name, version, list)) {
        const key = `${each.group}/${each.plural}`;
        if (seen.has(key)) continue;
        seen.add(key);
        found.push(each);
      }
    }
  }
  return found;
}

function listed(group: string, version: string, list: ResourceList): DiscoveredResource[] {
  return (list.resources ?? [])
    .filter((each) => !each.name.includes("/"))
    .map(({ name, kind, namespaced, verbs }) => ({ group, version, plural: name, kind, namespaced, verbs }));
}
