/**
 * Serves the dashboard's files under /trivet/dashboard/. They hold no data and need no credentials: what
 * they show, the browser reads from the Kubernetes API with its user's own. The files are read once.
 */
import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { extname } from "node:path";
import type { HttpHandler, HttpResponse } from "#base/http.ts";

const mount = "/trivet/dashboard";
const directory = new URL("page/", import.meta.url);

const contentTypes: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

const securityHeaders = {
  // Nothing from elsewhere, nothing inline, and no other page may embed it.
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-cache",
};

export async function createDashboard(): Promise<HttpHandler> {
  const files = new Map<string, { body: Buffer; headers: Record<string, string> }>();
  for (const name of await readdir(directory)) {
    const contentType = contentTypes[extname(name)];
    if (contentType === undefined) continue;
    const body = await readFile(new URL(name, directory));
    const etag = `"${createHash("sha256").update(body).digest("base64url")}"`;
    files.set(name, { body, headers: { ...securityHeaders, "content-type": contentType, etag } });
  }
  return async ({ path, method, headers }) => {
    if (path === mount) return { status: 308, headers: { location: `${mount}/` }, body: new Uint8Array() };
    if (method !== "GET" && method !== "HEAD") return plain(405, "only GET and HEAD are allowed\n");
    const name = path === `${mount}/` ? "index.html" : path.slice(mount.length + 1);
    const file = path.startsWith(`${mount}/`) ? files.get(name) : undefined;
    if (file === undefined) return plain(404, "404 page not found\n");
    if (headers["if-none-match"] === file.headers["etag"])
      return { status: 304, headers: { ...file.headers }, body: new Uint8Array() };
    return { status: 200, headers: { ...file.headers }, body: file.body };
  };
}

function plain(status: number, text: string): HttpResponse {
  return {
    status,
    headers: { ...securityHeaders, "content-type": "text/plain; charset=utf-8" },
    body: new TextEncoder().encode(text),
  };
}
