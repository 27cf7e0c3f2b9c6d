import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { HttpRequest, HttpUser } from "#base/http.ts";
import type { ApiServer } from "./server.ts";
import { testServer } from "./server.test-suite.ts";

let api: ApiServer;

before(async () => {
  api = testServer({ moreMetrics: async () => "etcd_server_has_leader 1\n" });
  await api.ready();
});

after(() => api.close());

test("/metrics has the API server's own numbers and those it is given", async () => {
  const { status, text } = await get({ name: "admin", groups: ["system:masters"] });
  assert.equal(status, 200);
  assert.match(
    text,
    /^apiserver_request_total\{code="201",component="apiserver",dry_run="",group="",resource="namespaces",scope="resource",subresource="",verb="POST",version="v1"\} [1-9]/m,
  );
  assert.match(
    text,
    /^apiserver_request_duration_seconds_bucket\{component="apiserver",.*resource="namespaces",.*,le="\+Inf"\} [1-9]/m,
  );
  assert.match(text, /^apiserver_current_inflight_requests\{request_kind="readOnly"\} 1\n/m);
  assert.match(text, /^apiserver_storage_objects\{resource="namespaces"\} 4\n/m);
  assert.match(text, /^kubernetes_build_info\{.*git_version="v1\.32/m);
  for (const name of ["cpu_seconds_total", "max_fds", "open_fds", "start_time_seconds"])
    assert.ok(Number(new RegExp(`^process_${name} (\\S+)$`, "m").exec(text)?.[1]) > 0, name);
  assert.match(
    text,
    /^# TYPE apiserver_watch_cache_revision gauge\napiserver_watch_cache_revision [1-9]\d*\n/m,
  );
  assert.match(text, /^process_resident_memory_bytes [1-9]\d+\n/m);
  assert.match(text, /\netcd_server_has_leader 1\n$/);
});

test("a watch counts while it runs, and each of its events", async () => {
  const abort = new AbortController();
  const query = "watch=1&resourceVersion=0";
  const watch = await api.handler({ ...request("/api/v1/namespaces", query), signal: abort.signal });
  for await (const _ of watch.body as AsyncIterable<Uint8Array>) break;
  const second = await api.handler({ ...request("/api/v1/namespaces", query), signal: abort.signal });
  const labels =
    'component="apiserver",group="",resource="namespaces",scope="cluster",subresource="",verb="WATCH",version="v1"';
  const { text } = await get({ name: "admin", groups: ["system:masters"] });
  assert.ok(text.includes(`apiserver_longrunning_requests{${labels}} 1\n`));
  assert.match(text, /^apiserver_watch_events_total\{group="",kind="Namespace",version="v1"\} 8\n/m);
  abort.abort();
  for await (const _ of second.body as AsyncIterable<Uint8Array>);
  assert.ok(!(await get({ name: "admin", groups: ["system:masters"] })).text.includes("longrunning"));
});

test("paths that do not exist are not remembered", async () => {
  await api.handler(request("/apis/made.up/v1/things", ""));
  const { text } = await get({ name: "admin", groups: ["system:masters"] });
  assert.ok(!text.includes("made.up"));
});

test("/metrics is for those who may", async () => {
  const { status } = await get({ name: "somebody", groups: ["system:authenticated"] });
  assert.equal(status, 403);
});

async function get(user: HttpUser): Promise<{ status: number; text: string }> {
  const response = await api.handler({ ...request("/metrics", ""), user });
  return { status: response.status, text: Buffer.from(response.body as Uint8Array).toString("utf8") };
}

function request(path: string, query: string): HttpRequest {
  return {
    method: "GET",
    path,
    query,
    headers: { accept: "*/*", "user-agent": "unit/1" },
    body: new Uint8Array(),
    signal: new AbortController().signal,
    user: { name: "admin", groups: ["system:masters"] },
  };
}
