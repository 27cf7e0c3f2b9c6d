import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ApiServer } from "./server.ts";
import { testServer } from "./server.test-suite.ts";
import { applyMergePatch } from "./patch/merge-patch.ts";
import { type Mistake, mistakes, valid } from "./validation.test-suite.ts";

describe("objects that are wrong", () => {
  let api: ApiServer;

  before(async () => {
    api = testServer();
    await api.ready();
    const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default" } };
    await send("POST", "/api/v1/namespaces/default/serviceaccounts", account);
  });
  after(() => api.close());

  // oxlint-disable-next-line typescript/no-explicit-any -- answers of every shape
  async function send(method: string, path: string, body: unknown): Promise<{ status: number; body: any }> {
    const contentType = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const { status, body: answer } = await api.handler({
      method,
      path,
      query: "",
      headers: { accept: "application/json", "content-type": contentType, "user-agent": "unit/1" },
      body: Buffer.from(JSON.stringify(body)),
      signal: new AbortController().signal,
      user: { name: "admin", groups: ["system:masters"] },
    });
    return { status, body: JSON.parse(Buffer.from(answer as Uint8Array).toString("utf8")) };
  }

  async function attempt(mistake: Mistake, name: string): Promise<string[]> {
    const { path, object } = valid[mistake.of] ?? assert.fail(mistake.of);
    const collection = `${path}/${mistake.of}`;
    const named = { ...object, metadata: { name } };
    let answer;
    if (mistake.update === true) {
      const created = await send("POST", collection, named);
      assert.equal(created.status, 201, JSON.stringify(created.body));
      const suffix = mistake.subresource === undefined ? "" : `/${mistake.subresource}`;
      answer = await send("PATCH", `${collection}/${name}${suffix}`, mistake.change);
    } else answer = await send("POST", collection, applyMergePatch(named, mistake.change));
    if (answer.status < 300) return [];
    assert.equal(answer.status, 422, JSON.stringify(answer.body));
    const causes = answer.body.details.causes as { field: string; message: string }[];
    return causes.map((each) => `${each.field}: ${each.message}`);
  }

  for (const [index, mistake] of mistakes.entries())
    test(
      `${mistake.of}${mistake.subresource === undefined ? "" : `/${mistake.subresource}`} ${JSON.stringify(mistake.change)}`.slice(
        0,
        100,
      ),
      async () => {
        assert.deepEqual(await attempt(mistake, `m${index}`), [...mistake.says]);
      },
    );
});
