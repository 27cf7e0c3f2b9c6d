/** Over TLS to a server that is known by its address: the certificate has to be for that address. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryBackend } from "#base/memory-backend.ts";
import { createAuthority, issue } from "#cluster/certificates.ts";
import { EtcdConnection } from "./client-connection.ts";
import { serveApi } from "./etcd-api.fixture.ts";

for (const [host, answers] of [
  ["127.0.0.1", true],
  ["10.9.9.9", false],
] as const)
  test(`a certificate for ${host} at 127.0.0.1 is ${answers ? "taken" : "refused"}`, async () => {
    const authority = await createAuthority("test", 1);
    const leaf = await issue(authority, {
      commonName: "etcd",
      hosts: [host],
      usages: ["server", "client"],
      validDays: 1,
    });
    const tls = { ca: authority.certificate, cert: leaf.certificate, key: leaf.key };
    const api = await serveApi(new MemoryBackend(), tls);
    const connection = new EtcdConnection([`https://127.0.0.1:${api.port}`], tls);
    const asked = connection.call("KV", "Range", { key: Buffer.from("a") }, "read");
    if (answers) await asked;
    else await assert.rejects(asked, /does not match certificate/);
    connection.close();
    await api.close();
  });
