/** /healthz, /livez and /readyz, each with single checks below them, ?verbose and ?exclude. */
import type { HttpResponse } from "#base/http.ts";
import type { ApiRequest } from "../api-core.ts";
import type { WatchHub } from "../cache/watch-hub.ts";

const checks: Readonly<Record<string, readonly string[]>> = {
  healthz: ["ping", "log", "etcd", "informer-sync"],
  livez: ["ping", "log", "etcd"],
  readyz: ["ping", "log", "etcd", "informer-sync", "shutdown"],
};

export function isHealthPath(path: string): boolean {
  return (path.split("/")[1] ?? "") in checks;
}

/** Undefined when the path is no health page. */
export function healthPage(request: ApiRequest, hub: WatchHub): HttpResponse | undefined {
  const segments = request.http.path.split("/").filter((each) => each !== "");
  const [endpoint, check] = segments;
  const names = endpoint === undefined ? undefined : checks[endpoint];
  if (endpoint === undefined || names === undefined || segments.length > 2) return undefined;
  if (check !== undefined) {
    if (!names.includes(check)) return undefined;
    return isHealthy(check, hub) ? text(200, "ok") : text(500, `internal server error: ${check} failed\n`);
  }
  const excluded = request.query.getAll("exclude");
  const lines: string[] = [];
  let failed = false;
  for (const name of names) {
    if (excluded.includes(name)) {
      lines.push(`[+]${name} excluded: ok`);
      continue;
    }
    const healthy = isHealthy(name, hub);
    failed ||= !healthy;
    lines.push(healthy ? `[+]${name} ok` : `[-]${name} failed: reason withheld`);
  }
  if (failed) return text(500, `${lines.join("\n")}\n${endpoint} check failed\n`);
  return request.query.has("verbose")
    ? text(200, `${lines.join("\n")}\n${endpoint} check passed\n`)
    : text(200, "ok");
}

function isHealthy(check: string, hub: WatchHub): boolean {
  return check === "etcd" || check === "informer-sync" ? hub.isFeeding : true;
}

function text(status: number, body: string): HttpResponse {
  return {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
    body: Buffer.from(body),
  };
}
