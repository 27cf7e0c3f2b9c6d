/**
 * The contract of an add-on: one literal. An add-on runs in Trivet's own process on every control-plane
 * node and pulls no image; nothing of it is loaded before it is enabled. `main` has the list of them.
 */
import type { HttpRoute } from "#base/http.ts";
import type { Clock, Logger } from "#base/ports.ts";
import type { ApiClient } from "#client/types.ts";
import type { ExtensionResource } from "#kinds/extension.ts";
import type { KubeObject } from "#kinds/object.ts";

/** What the API server of the same process lends: both return how to take it back. */
export interface ApiExtensions {
  addRoute(route: HttpRoute): () => void;
  addResources(resources: readonly ExtensionResource[]): () => void;
}

export interface AddonContext extends ApiExtensions {
  /** Speaks with the API of this node as the cluster's administrator. */
  client: ApiClient;
  clock: Clock;
  logger: Logger;
}

export interface RunningAddon {
  /** Ends what `start` began on this node. The cluster's objects are not its business. */
  close(): Promise<void>;
}

export interface Addon {
  name: string;
  /** One sentence. */
  description: string;
  /** Names of add-ons that must be enabled as well; enabling this one enables them. */
  requires: readonly string[];
  /** Objects that exist while the add-on is enabled. A `status` among them is written too. */
  objects: readonly KubeObject[];
  /** What a user may do now, one line each. `apiUrl` is "https://host:port". */
  nextSteps(apiUrl: string): string[];
  /** Resolves once the add-on works on this node. Loads what it needs with `import()`. */
  start(context: AddonContext): Promise<RunningAddon>;
}

/** Checks nothing at run time; gives the literal its type. */
export function defineAddon(addon: Addon): Addon {
  return addon;
}
