import assert from "node:assert/strict";
import { X509Certificate, webcrypto } from "node:crypto";
import { test } from "node:test";
import { readRequest, signAsRequested } from "./certificate-requests.ts";
import { algorithm, createAuthority, x509 } from "./certificates.ts";

async function request(): Promise<string> {
  const library = await x509();
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const names = [
    { type: "dns", value: "n1" },
    { type: "ip", value: "192.0.2.1" },
  ] as const;
  const made = await library.Pkcs10CertificateRequestGenerator.create({
    name: [{ O: ["system:nodes"] }, { CN: ["system:node:n1"] }],
    keys,
    signingAlgorithm: algorithm,
    extensions: [new library.SubjectAlternativeNameExtension([...names])],
  });
  return made.toString("pem");
}

test("reads who a certificate is asked for", async () => {
  assert.deepEqual(await readRequest(await request()), {
    commonName: "system:node:n1",
    organizations: ["system:nodes"],
    dnsNames: ["n1"],
    ipAddresses: ["192.0.2.1"],
    emailAddresses: [],
    uris: [],
  });
});

test("signs with the subject, names, usages and time of the request", async () => {
  const authority = await createAuthority("test", 1);
  const pem = await request();
  const usages = ["digital signature", "server auth"];
  const certificate = new X509Certificate(
    await signAsRequested(authority, { pem, usages, validSeconds: 600 }),
  );
  assert.equal(certificate.subject, "O=system:nodes\nCN=system:node:n1");
  assert.equal(certificate.subjectAltName, "DNS:n1, IP Address:192.0.2.1");
  assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
  assert.ok(certificate.verify(new X509Certificate(authority.certificate).publicKey));
  const leftMs = certificate.validToDate.getTime() - Date.now();
  assert.ok(leftMs > 590_000 && leftMs <= 600_000);
});

test("refuses what is no request", async () => {
  await assert.rejects(readRequest("nothing"), /not a PEM-encoded PKCS#10 request/);
});
