/**
 * Certificates: an authority that issues for servers and clients. ECDSA P-256 throughout. Keys and
 * certificates are PEM strings; files belong to `pki.ts`. The X.509 library is loaded on first use,
 * because a running node seldom needs it.
 */
import {
  X509Certificate,
  createHash,
  createPrivateKey,
  createPublicKey,
  randomBytes,
  webcrypto,
} from "node:crypto";
import { isIP } from "node:net";
import type * as X509 from "@peculiar/x509";
import { StatusError } from "#base/errors.ts";

export interface KeyAndCertificate {
  /** PKCS#8 PEM. */
  key: string;
  /** PEM. */
  certificate: string;
}

export interface CertificateRequest {
  commonName: string;
  organizations?: readonly string[];
  /** DNS names and IP addresses; an empty list makes a client certificate. */
  hosts: readonly string[];
  usages: readonly ("server" | "client")[];
  validDays: number;
}

export const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMs = 24 * 60 * 60 * 1000;
/** A certificate is renewed when fewer days than this are left. */
const renewDays = 90;
/** Certificates are valid a little before their creation: clocks of joining machines differ. */
export const clockSkewMs = 5 * 60 * 1000;

export async function x509(): Promise<typeof X509> {
  await import("reflect-metadata");
  return import("@peculiar/x509");
}

/** A new self-signed authority. */
export async function createAuthority(commonName: string, validDays: number): Promise<KeyAndCertificate> {
  const library = await x509();
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await library.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(16).toString("hex"),
    name: [{ CN: [commonName] }],
    notBefore: new Date(Date.now() - clockSkewMs),
    notAfter: new Date(Date.now() + validDays * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new library.BasicConstraintsExtension(true, undefined, true),
      new library.KeyUsagesExtension(
        library.KeyUsageFlags.keyCertSign |
          library.KeyUsageFlags.cRLSign |
          library.KeyUsageFlags.digitalSignature,
        true,
      ),
      await library.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { key: await exportKey(keys.privateKey), certificate: certificate.toString("pem") + "\n" };
}

/** A new key with a certificate, signed by the authority. */
export async function issue(
  authority: KeyAndCertificate,
  request: CertificateRequest,
  nowMs = Date.now(),
): Promise<KeyAndCertificate> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  return {
    key: await exportKey(keys.privateKey),
    certificate: await sign(authority, keys.publicKey, request, nowMs),
  };
}

/**
 * A certificate for a PKCS#10 request (PEM). Subject and hosts come from `request`, never from what the
 * requester wrote: the request only proves that the requester holds the key.
 */
export async function signRequest(
  authority: KeyAndCertificate,
  requestPem: string,
  request: CertificateRequest,
  nowMs = Date.now(),
): Promise<string> {
  const library = await x509();
  let parsed;
  try {
    parsed = new library.Pkcs10CertificateRequest(requestPem);
  } catch (cause) {
    throw new StatusError("BadRequest", "the certificate request is not a PEM-encoded PKCS#10 request", {
      cause,
    });
  }
  if (!(await parsed.verify()))
    throw new StatusError("BadRequest", "the certificate request is not signed by its own key");
  return sign(authority, await parsed.publicKey.export(), request, nowMs);
}

/** A new key and a PKCS#10 request for it. */
export async function createRequest(commonName: string): Promise<{ key: string; request: string }> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  return { key: await exportKey(keys.privateKey), request: await requestFor(commonName, keys) };
}

/** A PKCS#10 request for a key that is in use: its certificate alone is to be replaced. */
export async function requestForKey(commonName: string, key: string): Promise<string> {
  const der = createPrivateKey(key).export({ format: "der", type: "pkcs8" });
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  return requestFor(commonName, {
    privateKey: await webcrypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]),
    publicKey: await webcrypto.subtle.importKey("spki", spki, algorithm, true, ["verify"]),
  });
}

async function requestFor(commonName: string, keys: webcrypto.CryptoKeyPair): Promise<string> {
  const library = await x509();
  const request = await library.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [commonName] }],
    keys,
    signingAlgorithm: algorithm,
  });
  return request.toString("pem");
}

/** SHA-256 of the certificate (DER), as 64 hex digits. */
export function fingerprint(certificatePem: string): string {
  return createHash("sha256").update(new X509Certificate(certificatePem).raw).digest("hex");
}

/** Days until the certificate ends; negative when it has. */
export function daysLeft(certificatePem: string, nowMs: number): number {
  return (new X509Certificate(certificatePem).validToDate.getTime() - nowMs) / dayMs;
}

/** Whether it is time to renew: near its end, and a new one would last longer than this one. */
export function isDue(certificatePem: string, authorityPem: string, nowMs: number): boolean {
  const left = daysLeft(certificatePem, nowMs);
  return left <= renewDays && daysLeft(authorityPem, nowMs) > left + 1;
}

/** Whether the key is the certificate's: files are written one after the other. */
export function belongTogether({ key, certificate }: KeyAndCertificate): boolean {
  return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
}

/** Whether the certificate was signed by the authority and names exactly these hosts. */
export function covers(certificatePem: string, authorityPem: string, hosts: readonly string[]): boolean {
  const certificate = new X509Certificate(certificatePem);
  if (!certificate.verify(new X509Certificate(authorityPem).publicKey)) return false;
  return hosts.every((host) =>
    isIP(host) === 0 ? certificate.checkHost(host) !== undefined : certificate.checkIP(host) !== undefined,
  );
}

async function sign(
  authority: KeyAndCertificate,
  publicKey: webcrypto.CryptoKey,
  request: CertificateRequest,
  nowMs: number,
): Promise<string> {
  const library = await x509();
  const issuer = new library.X509Certificate(authority.certificate);
  const signingKey = await webcrypto.subtle.importKey(
    "pkcs8",
    createPrivateKey(authority.key).export({ format: "der", type: "pkcs8" }),
    algorithm,
    false,
    ["sign"],
  );
  const usages = request.usages.map((usage) =>
    usage === "server" ? library.ExtendedKeyUsage.serverAuth : library.ExtendedKeyUsage.clientAuth,
  );
  const organizations = (request.organizations ?? []).map((O) => ({ O: [O] }));
  const certificate = await library.X509CertificateGenerator.create({
    serialNumber: randomBytes(16).toString("hex"),
    subject: [...organizations, { CN: [request.commonName] }],
    issuer: issuer.subject,
    notBefore: new Date(nowMs - clockSkewMs),
    notAfter: new Date(Math.min(nowMs + request.validDays * dayMs, issuer.notAfter.getTime())),
    signingAlgorithm: algorithm,
    publicKey,
    signingKey,
    extensions: [
      new library.BasicConstraintsExtension(false, undefined, true),
      new library.KeyUsagesExtension(
        library.KeyUsageFlags.digitalSignature | library.KeyUsageFlags.keyEncipherment,
        true,
      ),
      new library.ExtendedKeyUsageExtension(usages),
      await library.AuthorityKeyIdentifierExtension.create(issuer),
      ...(request.hosts.length === 0
        ? []
        : [
            new library.SubjectAlternativeNameExtension(
              request.hosts.map((value) => ({
                type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const),
                value,
              })),
            ),
          ]),
    ],
  });
  return certificate.toString("pem") + "\n";
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey("pkcs8", key);
  return createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" })
    .export({ format: "pem", type: "pkcs8" })
    .toString();
}
