import { test } from "node:test";
import assert from "node:assert/strict";
import { checkToken, createToken, parseInvitation } from "./token.ts";

test("a token opens once, until its end, with its own secret", () => {
  const { record, token } = createToken("worker", 1000);
  const secret = token.split(".")[1] ?? "";
  assert.equal(checkToken(record, secret, 999), record);
  assert.throws(() => checkToken(record, secret, 1000), /expired at 1970-01-01T00:00:01/);
  assert.throws(() => checkToken({ ...record, usedBy: "n2" }, secret, 0), /already used by node "n2"/);
  assert.throws(() => checkToken(record, "0".repeat(32), 0), /not known/);
  assert.throws(() => checkToken(undefined, secret, 0), /not known/);
  assert.doesNotMatch(JSON.stringify(record), new RegExp(secret), "the record does not hold the secret");
});

test("an invitation is parsed or refused with its form", () => {
  const { token } = createToken("control-plane", 0);
  const parsed = parseInvitation(` 10.0.0.1:16443/${token}/${"ab".repeat(32)}\n`);
  assert.equal(parsed.endpoint, "10.0.0.1:16443");
  assert.equal(`${parsed.tokenId}.${parsed.secret}`, token);
  for (const bad of ["", "host/token/print", `host:1/${token}`, `host:1/${token}/xyz`])
    assert.throws(() => parseInvitation(bad), /HOST:PORT\/TOKEN\/FINGERPRINT/);
});
