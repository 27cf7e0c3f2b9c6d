import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import https from "node:https";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { createAuthority, issue } from "#cluster/certificates.ts";
import { testServer } from "#api/server.test-suite.ts";
import { WebhookClient, WebhookError } from "./webhook-client.ts";
import type { WebhookTarget } from "./webhook-client.ts";

const api = testServer();
const client = new WebhookClient(api.registry);
let answer: RequestListener;
let server: https.Server;
let target: WebhookTarget;
let url: string;

before(async () => {
  const authority = await createAuthority("webhooks", 1);
  const hosts = ["127.0.0.1"];
  const identity = await issue(authority, { commonName: "hook", hosts, usages: ["server"], validDays: 1 });
  server = https.createServer({ key: identity.key, cert: identity.certificate }, (request, response) =>
    answer(request, response),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  target = { url, caBundle: Buffer.from(authority.certificate).toString("base64") };
});

after(async () => {
  client.close();
  server.closeAllConnections();
  server.close();
  await api.close();
});

/** What is said of a call that fails. */
async function problem(to: WebhookTarget, timeoutSeconds = 5): Promise<string> {
  try {
    await client.post(to, {}, timeoutSeconds);
  } catch (error) {
    assert.ok(error instanceof WebhookError);
    return error.message;
  }
  assert.fail("the call was answered");
}

test("the answer is what the webhook says to what it was sent, and when it must be there", async () => {
  answer = (request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () =>
      response.end(JSON.stringify({ path: request.url, got: JSON.parse(Buffer.concat(parts).toString()) })),
    );
  };
  assert.deepEqual(await client.post(target, { a: 1 }, 7), { path: "/hook?timeout=7s", got: { a: 1 } });
});

test("an answer that does not come in time", async () => {
  answer = () => undefined;
  assert.equal(await problem(target, 0.05), `Post "${url}?timeout=0.05s": context deadline exceeded`);
});

test("answers that are none", async () => {
  answer = (_request, response) => response.writeHead(404).end("nothing here\n");
  assert.equal(await problem(target), "the server returned 404: nothing here");
  const status = { kind: "Status", status: "Failure", message: "please go away" };
  answer = (_request, response) => response.writeHead(403).end(JSON.stringify(status));
  assert.equal(await problem(target), "please go away");
  answer = (_request, response) => response.end("not JSON");
  assert.match(await problem(target), /^couldn't get version\/kind; json parse error: /);
  answer = (request) => request.socket.destroy();
  assert.equal(await problem(target), `Post "${url}?timeout=5s": EOF`);
});

test("only a certificate of the bundle's authorities is trusted", async () => {
  const unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
  assert.equal(await problem({ url }), `Post "${url}?timeout=5s": ${unknown}`);
  const other = await createAuthority("others", 1);
  const caBundle = Buffer.from(other.certificate).toString("base64");
  assert.equal(await problem({ url, caBundle }), `Post "${url}?timeout=5s": ${unknown}`);
});

test("a Service that is not there", async () => {
  await api.ready();
  const service = { namespace: "default", name: "none", path: "/x", port: 8443 };
  assert.equal(
    await problem({ service }),
    'Post "https://none.default.svc:8443/x?timeout=5s": service "none" not found',
  );
});
