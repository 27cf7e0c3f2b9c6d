/** The plugins, in upstream's order. */
import type { Random } from "#base/ports.ts";
import type { WatchHub } from "../cache/watch-hub.ts";
import type { ResourceRegistry } from "../registry.ts";
import type { AdmissionPlugin } from "./admission.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";

export function admissionPlugins(options: {
  registry: ResourceRegistry;
  hub: WatchHub;
  random: Random;
}): AdmissionPlugin[] {
  const { registry, hub } = options;
  return [namespaceLifecycle(registry, hub)];
}
