/** Certificates for tests: a peers' CA and what it issues. */

import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { PeerTls } from "../types.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** Issues certificates for members of these names. */
export type PeerAuthority = (name: string) => Promise<PeerTls>;

/** A certificate of a new CA. */
export async function makePeerTls(name = "replica"): Promise<PeerTls> {
  return (await makePeerAuthority())(name);
}

/** A new CA each time. */
export async function makePeerAuthority(): Promise<PeerAuthority> {
  x509.cryptoProvider.set(webcrypto as Crypto);
  const caKeys = await generateKeys();
  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(Date.now() + 3_600_000);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=test-peer-ca",
    keys: caKeys,
    notBefore,
    notAfter,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  return async (name) => {
    const keys = await generateKeys();
    const cert = await x509.X509CertificateGenerator.create({
      subject: `CN=${name}`,
      issuer: ca.subject,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      notBefore,
      notAfter,
      signingAlgorithm: algorithm,
    });
    const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
    return {
      ca: ca.toString("pem"),
      cert: cert.toString("pem"),
      key: x509.PemConverter.encode(pkcs8, "PRIVATE KEY"),
    };
  };
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
}
