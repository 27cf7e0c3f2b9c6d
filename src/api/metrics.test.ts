import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { HttpUser } from "#base/http.ts";
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
    /^# TYPE apiserver_requests_total counter\n(apiserver_requests_total\{code="2\d\d"\} \d+\n)+/m,
  );
  assert.match(
    text,
    /^# TYPE apiserver_watch_cache_revision gauge\napiserver_watch_cache_revision [1-9]\d*\n/m,
  );
  assert.match(text, /^process_resident_memory_bytes [1-9]\d+\n/m);
  assert.match(text, /\netcd_server_has_leader 1\n$/);
});

test("/metrics is for those who may", async () => {
  const { status } = await get({ name: "somebody", groups: ["system:authenticated"] });
  assert.equal(status, 403);
});

async function get(user: HttpUser): Promise<{ status: number; text: string }> {
  const response = await api.handler({
    method: "GET",
    path: "/metrics",
    query: "",
    headers: { accept: "text/plain", "user-agent": "unit/1" },
    body: new Uint8Array(),
    signal: new AbortController().signal,
    user,
  });
  return { status: response.status, text: Buffer.from(response.body as Uint8Array).toString("utf8") };
}
