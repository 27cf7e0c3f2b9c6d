import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpHandler, HttpResponse } from "#base/http.ts";
import { createDashboard } from "./dashboard.ts";

async function get(
  handler: HttpHandler,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<HttpResponse> {
  const signal = new AbortController().signal;
  return handler({ method, path, query: "", headers, body: new Uint8Array(), signal });
}

test("serves the page with a strict policy, and once only to those who have it", async () => {
  const handler = await createDashboard();
  const page = await get(handler, "/trivet/dashboard/");
  assert.equal(page.status, 200);
  assert.match(String(page.headers["content-security-policy"]), /^default-src 'none'; script-src 'self';/);
  assert.doesNotMatch(String(page.headers["content-security-policy"]), /unsafe|https?:|\*/);
  const again = await get(handler, "/trivet/dashboard/", { "if-none-match": String(page.headers["etag"]) });
  assert.equal(again.status, 304);
});

test("nothing in the page is inline", async () => {
  const handler = await createDashboard();
  const { body } = await get(handler, "/trivet/dashboard/");
  const text = new TextDecoder().decode(body as Uint8Array);
  assert.doesNotMatch(text, /<style|\bstyle=|\bon\w+=|<script(?![^>]* src=)/);
});

test("the page finds all of its parts", async () => {
  const handler = await createDashboard();
  const seen = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    if (seen.has(name)) return;
    seen.add(name);
    const { status, body, headers } = await get(handler, `/trivet/dashboard/${name}`);
    assert.equal(status, 200, name);
    if (!/html|javascript/.test(String(headers["content-type"]))) return;
    const text = new TextDecoder().decode(body as Uint8Array);
    for (const [, part = ""] of text.matchAll(/(?:from "\.\/|(?:src|href)=")([\w-]+\.\w+)"/g))
      await visit(part);
  };
  await visit("");
  assert.ok(seen.has("style.css") && seen.has("logs.js") && seen.has("icon.svg"), [...seen].join());
});

test("nothing else is served", async () => {
  const handler = await createDashboard();
  for (const path of ["tsconfig.json", "../dashboard.ts", "%2e%2e/dashboard.ts", "constructor"])
    assert.equal((await get(handler, `/trivet/dashboard/${path}`)).status, 404, path);
  assert.equal((await get(handler, "/trivet/dashboardx")).status, 404);
  assert.equal((await get(handler, "/trivet/dashboard")).headers["location"], "/trivet/dashboard/");
  assert.equal((await get(handler, "/trivet/dashboard/", {}, "POST")).status, 405);
});
