/**
 * Which add-ons are enabled is the cluster's state: the data of ConfigMap kube-system/trivet-addons has
 * a key for each enabled one. So it is replicated, watched, backed up and readable like everything else.
 */
import { StatusError } from "#base/errors.ts";
import type { Client, ResourceName } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";

export const configMaps: ResourceName = { group: "", version: "v1", plural: "configmaps" };
export const stateNamespace = "kube-system";
export const stateName = "trivet-addons";

export interface StateObject extends KubeObject {
  data?: Record<string, string>;
}

const enabledValue = "enabled";
const triesMax = 10;

export function enabledIn(state: StateObject | undefined): Set<string> {
  const entries = Object.entries(state?.data ?? {});
  return new Set(entries.filter(([, value]) => value === enabledValue).map(([name]) => name));
}

/** Changes the set, atomically: `change` may be called again when somebody else was faster. Returns what is stored. */
export async function changeEnabled(
  client: Client,
  change: (enabled: ReadonlySet<string>) => ReadonlySet<string>,
): Promise<StateObject> {
  for (let tries = 1; ; tries++) {
    const current = await readState(client);
    const enabled = change(enabledIn(current));
    const data = Object.fromEntries([...enabled].sort().map((name) => [name, enabledValue]));
    if (current !== undefined && JSON.stringify(data) === JSON.stringify(current.data ?? {})) return current;
    try {
      if (current !== undefined) return await client.update(configMaps, { ...current, data });
      return await client.create<StateObject>(configMaps, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: stateName, namespace: stateNamespace },
        data,
      });
    } catch (error) {
      const isLate =
        error instanceof StatusError && ["Conflict", "AlreadyExists", "NotFound"].includes(error.reason);
      if (!isLate || tries >= triesMax) throw error;
    }
  }
}

async function readState(client: Client): Promise<StateObject | undefined> {
  try {
    return await client.get<StateObject>(configMaps, stateNamespace, stateName);
  } catch (error) {
    if (error instanceof StatusError && error.reason === "NotFound") return undefined;
    throw error;
  }
}
