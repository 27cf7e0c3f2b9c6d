/**
 * PKCS #10 requests as the Certificates API has them: what they ask for, and certificates with the
 * subject and the names that the requester wrote. Whether to sign is decided elsewhere.
 */
import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import type * as X509 from "@peculiar/x509";
import { StatusError } from "#base/errors.ts";
import { algorithm, clockSkewMs, x509 } from "./certificates.ts";
import type { KeyAndCertificate } from "./certificates.ts";

export interface RequestedSubject {
  commonName: string;
  organizations: string[];
  dnsNames: string[];
  ipAddresses: string[];
  emailAddresses: string[];
  uris: string[];
}

export async function readRequest(pem: string): Promise<RequestedSubject> {
  const { parsed, names } = await parse(pem);
  const named = (type: string): string[] =>
    (names?.names.items ?? []).filter((each) => each.type === type).map((each) => each.value);
  return {
    commonName: parsed.subjectName.getField("CN").at(-1) ?? "",
    organizations: parsed.subjectName.getField("O"),
    dnsNames: named("dns"),
    ipAddresses: named("ip"),
    emailAddresses: named("email"),
    uris: named("url"),
  };
}

/** `usages` are those of the Certificates API: "digital signature", "client auth", ... */
export async function signAsRequested(
  authority: KeyAndCertificate,
  request: { pem: string; usages: readonly string[]; validSeconds: number },
): Promise<string> {
  const library = await x509();
  const { parsed, names } = await parse(request.pem);
  if (!(await parsed.verify()))
    throw new StatusError("BadRequest", "the certificate request is not signed by its own key");
  const issuer = new library.X509Certificate(authority.certificate);
  const nowMs = Date.now();
  const certificate = await library.X509CertificateGenerator.create({
    serialNumber: randomBytes(16).toString("hex"),
    subject: parsed.subjectName,
    issuer: issuer.subject,
    notBefore: new Date(nowMs - clockSkewMs),
    notAfter: new Date(Math.min(nowMs + request.validSeconds * 1000, issuer.notAfter.getTime())),
    signingAlgorithm: algorithm,
    publicKey: parsed.publicKey,
    signingKey: await webcrypto.subtle.importKey(
      "pkcs8",
      createPrivateKey(authority.key).export({ format: "der", type: "pkcs8" }),
      algorithm,
      false,
      ["sign"],
    ),
    extensions: [
      new library.BasicConstraintsExtension(false, undefined, true),
      ...usageExtensions(library, request.usages),
      await library.AuthorityKeyIdentifierExtension.create(issuer),
      ...(names === undefined ? [] : [names]),
    ],
  });
  return `${certificate.toString("pem")}\n`;
}

async function parse(pem: string): Promise<{
  parsed: X509.Pkcs10CertificateRequest;
  names: X509.SubjectAlternativeNameExtension | undefined;
}> {
  const library = await x509();
  try {
    const parsed = new library.Pkcs10CertificateRequest(pem);
    const names = parsed.extensions.find((each) => each instanceof library.SubjectAlternativeNameExtension);
    return { parsed, names };
  } catch (cause) {
    throw new StatusError("BadRequest", "the certificate request is not a PEM-encoded PKCS#10 request", {
      cause,
    });
  }
}

function usageExtensions(library: typeof X509, usages: readonly string[]): X509.Extension[] {
  const { KeyUsageFlags, ExtendedKeyUsage } = library;
  const flags =
    (usages.includes("digital signature") ? KeyUsageFlags.digitalSignature : 0) |
    (usages.includes("key encipherment") ? KeyUsageFlags.keyEncipherment : 0);
  const extended = [
    ...(usages.includes("client auth") ? [ExtendedKeyUsage.clientAuth] : []),
    ...(usages.includes("server auth") ? [ExtendedKeyUsage.serverAuth] : []),
  ];
  return [
    ...(flags === 0 ? [] : [new library.KeyUsagesExtension(flags, true)]),
    ...(extended.length === 0 ? [] : [new library.ExtendedKeyUsageExtension(extended)]),
  ];
}
