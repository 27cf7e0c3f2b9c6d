import { test } from "node:test";
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import {
  covers,
  createAuthority,
  createRequest,
  daysLeft,
  fingerprint,
  issue,
  signRequest,
} from "./certificates.ts";

test("an authority issues certificates that verify and name their hosts", async () => {
  const authority = await createAuthority("trivet-ca", 3650);
  const server = await issue(authority, {
    commonName: "trivet",
    organizations: ["system:masters"],
    hosts: ["localhost", "127.0.0.1", "kubernetes.default.svc"],
    usages: ["server", "client"],
    validDays: 365,
  });
  assert.ok(covers(server.certificate, authority.certificate, ["localhost", "127.0.0.1"]));
  assert.ok(!covers(server.certificate, authority.certificate, ["10.0.0.1"]));
  const other = await createAuthority("trivet-ca", 3650);
  assert.ok(!covers(server.certificate, other.certificate, ["localhost"]));
  const parsed = new X509Certificate(server.certificate);
  assert.match(parsed.subject, /O=system:masters\nCN=trivet/);
  assert.equal(new X509Certificate(authority.certificate).ca, true);
  assert.equal(parsed.ca, false);
  assert.ok(Math.abs(daysLeft(server.certificate, Date.now()) - 365) < 0.1);
  assert.match(fingerprint(authority.certificate), /^[0-9a-f]{64}$/);
});

test("a request is signed with the subject that the authority chooses", async () => {
  const authority = await createAuthority("trivet-ca", 10);
  const { key, request } = await createRequest("system:masters");
  const certificate = await signRequest(authority, request, {
    commonName: "system:node:n2",
    organizations: ["system:nodes"],
    hosts: [],
    usages: ["client"],
    validDays: 365,
  });
  assert.match(key, /BEGIN PRIVATE KEY/);
  const parsed = new X509Certificate(certificate);
  assert.match(parsed.subject, /O=system:nodes\nCN=system:node:n2/);
  assert.ok(daysLeft(certificate, Date.now()) < 10.1, "no certificate outlives its authority");
  await assert.rejects(
    signRequest(authority, "nonsense", { commonName: "x", hosts: [], usages: ["client"], validDays: 1 }),
    /not a PEM-encoded PKCS#10/,
  );
});
