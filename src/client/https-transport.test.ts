import assert from "node:assert/strict";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { StatusError } from "#base/errors.ts";
import { createClient } from "./client.ts";
import { httpsTransport } from "./https-transport.ts";
import type { HttpsTransportOptions } from "./https-transport.ts";

const pods = { group: "", version: "v1", plural: "pods" };

interface Server {
  url: string;
  name: string;
  stop(): void;
}

/** Cleartext HTTP/2: what is tested here lies above TLS. */
async function serve(context: TestContext, name: string): Promise<Server> {
  const server = http2.createServer();
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200 });
    if (headers[":path"]!.includes("watch=1")) {
      stream.write(`{"type":"ADDED","object":{"metadata":{"name":"${name}"}}}\n{"type":"BOOK`);
      setImmediate(() => stream.write(`MARK","object":{"metadata":{"resourceVersion":"7"}}}\n`));
    } else stream.end(JSON.stringify({ metadata: { name, path: headers[":path"] } }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = (): void => {
    for (const session of sessions) session.destroy();
    server.close();
  };
  context.after(stop);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, name, stop };
}

function open(context: TestContext, options: HttpsTransportOptions): ReturnType<typeof createClient> {
  const transport = httpsTransport(options);
  context.after(() => transport.close());
  return createClient({ transport: transport.handler, userAgent: "test" });
}

test("requests go on at the next endpoint when a server stops", async (context) => {
  const [a, b] = [await serve(context, "a"), await serve(context, "b")];
  const client = open(context, { endpoints: ["http://127.0.0.1:1", a.url, b.url] });
  assert.equal((await client.get(pods, "default", "x")).metadata.name, "a");
  a.stop();
  assert.equal((await client.get(pods, "default", "x")).metadata.name, "b");
});

test("a watch is decoded over chunk borders and ends loudly with its server", async (context) => {
  const server = await serve(context, "a");
  const client = open(context, { endpoints: [server.url] });
  const seen: string[] = [];
  await assert.rejects(
    async () => {
      for await (const event of client.watch(pods, { signal: new AbortController().signal })) {
        seen.push(event.type);
        if (event.type === "BOOKMARK") server.stop();
      }
    },
    (error: StatusError) => error.reason === "ServiceUnavailable",
  );
  assert.deepEqual(seen, ["ADDED", "BOOKMARK"]);
});

test("no endpoint at all is one clear error", async (context) => {
  const client = open(context, { endpoints: ["http://127.0.0.1:1"] });
  await assert.rejects(
    client.get(pods, "default", "x"),
    /no API server can be reached: http:\/\/127\.0\.0\.1:1/,
  );
});
