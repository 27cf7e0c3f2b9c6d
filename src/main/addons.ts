/** Composes the add-ons: the list of them, and what each control-plane node runs to switch them. */
import { dashboardAddon } from "#addons/dashboard.ts";
import { AddonHost } from "#addons/host.ts";
import { metricsAddon } from "#addons/metrics/metrics.ts";
import { addonRoute, addonsPath } from "#addons/route.ts";
import type { ApiServer } from "#api/server.ts";
import type { Logger } from "#base/ports.ts";
import { systemClock } from "#client/system-clock.ts";
import type { ApiClient } from "#client/types.ts";

const catalogue = [
  dashboardAddon(async () => (await import("#web/dashboard.ts")).createDashboard()),
  metricsAddon,
];

/** `apiUrl` is where users reach this API. The server must be ready. */
export function startAddons(options: {
  api: Pick<ApiServer, "addRoute" | "addResources">;
  client: ApiClient;
  apiUrl: string;
  logger: Logger;
}): AddonHost {
  const { api, client, logger } = options;
  const host = new AddonHost({
    catalogue,
    client,
    clock: systemClock,
    logger,
    addRoute: (route) => api.addRoute(route),
    addResources: (resources) => api.addResources(resources),
  });
  api.addRoute({
    prefix: addonsPath,
    authorize: true,
    handler: addonRoute(host, catalogue, options.apiUrl),
  });
  return host;
}

/** What `trivet status` shows. */
export function addonNames(host: AddonHost | undefined): { enabled: string[]; disabled: string[] } {
  const all = host?.list() ?? [];
  const names = (enabled: boolean): string[] =>
    all.filter((each) => each.enabled === enabled).map((each) => each.name);
  return { enabled: names(true), disabled: names(false) };
}
