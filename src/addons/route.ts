/**
 * /trivet/v1/addons, what `trivet enable`, `disable` and `addons` speak with. GET lists; POST takes
 * {enable, disable} and answers the list and the next steps of what was enabled. Who may do it is decided before.
 */
import { StatusError } from "#base/errors.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "#base/http.ts";
import type { Addon } from "./addon.ts";
import type { AddonHost } from "./host.ts";

export const addonsPath = "/trivet/v1/addons";

/** `apiUrl` is "https://host:port", where users reach this API. */
export function addonRoute(host: AddonHost, catalogue: readonly Addon[], apiUrl: string): HttpHandler {
  return async (request) => {
    try {
      if (request.path !== addonsPath) throw new StatusError("NotFound", `there is no ${request.path}`);
      if (request.method === "GET") return json(200, { addons: host.list() });
      if (request.method !== "POST")
        throw new StatusError("MethodNotAllowed", `${addonsPath} takes GET and POST`);
      const switches = { enable: namesIn(request, "enable"), disable: namesIn(request, "disable") };
      const addons = await host.switch(switches);
      const enabled = catalogue.filter((each) => switches.enable.includes(each.name));
      return json(200, { addons, nextSteps: enabled.flatMap((each) => each.nextSteps(apiUrl)) });
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      return json(error.code, error.toStatus());
    }
  };
}

function namesIn(request: HttpRequest, field: "enable" | "disable"): string[] {
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder().decode(request.body));
  } catch (cause) {
    throw new StatusError("BadRequest", "the body is not JSON", { cause });
  }
  const names = (body as Record<string, unknown> | null)?.[field] ?? [];
  if (!Array.isArray(names) || !names.every((each) => typeof each === "string"))
    throw new StatusError("BadRequest", `"${field}" is a list of names`);
  return names;
}

function json(status: number, value: unknown): HttpResponse {
  const body = new TextEncoder().encode(JSON.stringify(value));
  return { status, headers: { "content-type": "application/json" }, body };
}
