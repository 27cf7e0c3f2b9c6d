/**
 * Service-account tokens: signed JWTs that are bound to a ServiceAccount and, where asked, to a Pod, Node
 * or Secret. A token is good while what it is bound to exists with the same uid.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { calculateJwkThumbprint, decodeProtectedHeader, exportJWK, jwtVerify, SignJWT } from "jose";
import type { JWK } from "jose";
import type { HttpUser } from "#base/http.ts";
import type { Clock, Random } from "#base/ports.ts";
import { newUid } from "../api-core.ts";
import { objectKey } from "../registry.ts";
import type { ResourceRegistry } from "../registry.ts";

export interface ServiceAccountKeys {
  /** The `iss` claim and the base of the discovery document. */
  issuer: string;
  /** Audiences that this server accepts; the issuer by default. */
  audiences?: readonly string[];
  /** PEM (PKCS #8) of the key that signs: RSA or EC P-256. */
  privateKey: string;
  /** PEM of further keys whose signatures are accepted (rotation). */
  publicKeys?: readonly string[];
}

export interface BoundObject {
  kind: "Pod" | "Secret" | "Node";
  name: string;
  uid: string;
}

export interface TokenClaims {
  namespace: string;
  serviceAccount: { name: string; uid: string };
  bound: BoundObject | undefined;
  /** A pod's token also names the pod's node. */
  node: { name: string; uid: string } | undefined;
  audiences: readonly string[];
  expirationSeconds: number;
}

interface KubernetesClaim {
  namespace: string;
  serviceaccount: { name: string; uid: string };
  pod?: { name: string; uid: string };
  node?: { name: string; uid: string };
  secret?: { name: string; uid: string };
}

interface Verified {
  claim: KubernetesClaim;
  audiences: readonly string[];
  id: string;
  expiresMs: number;
  notBeforeMs: number;
}

const verifiedLimit = 4096;

export class ServiceAccountTokens {
  readonly #keys: ServiceAccountKeys;
  readonly #registry: ResourceRegistry;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #privateKey: KeyObject;
  readonly #publicKeys: KeyObject[];
  readonly #algorithm: "RS256" | "ES256";
  /** Signatures that have been checked, by token: they need not be checked again. */
  readonly #verified = new Map<string, Verified>();

  constructor(options: {
    keys: ServiceAccountKeys;
    registry: ResourceRegistry;
    clock: Clock;
    random: Random;
  }) {
    this.#keys = options.keys;
    this.#registry = options.registry;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#privateKey = createPrivateKey(options.keys.privateKey);
    this.#publicKeys = [
      createPublicKey(this.#privateKey),
      ...(options.keys.publicKeys ?? []).map((pem) => createPublicKey(pem)),
    ];
    this.#algorithm = this.#privateKey.asymmetricKeyType === "rsa" ? "RS256" : "ES256";
  }

  get defaultAudiences(): readonly string[] {
    return this.#keys.audiences ?? [this.#keys.issuer];
  }

  /** Signs a token. Returns it with its expiration in milliseconds since the epoch. */
  async issue(claims: TokenClaims): Promise<{ token: string; expiresMs: number }> {
    const nowSeconds = Math.floor(this.#clock.nowMs() / 1000);
    const kubernetes: KubernetesClaim = {
      namespace: claims.namespace,
      ...(claims.node === undefined ? {} : { node: claims.node }),
      ...(claims.bound === undefined
        ? {}
        : { [claims.bound.kind.toLowerCase()]: { name: claims.bound.name, uid: claims.bound.uid } }),
      serviceaccount: claims.serviceAccount,
    };
    const key = this.#publicKeys[0];
    const expiresSeconds = nowSeconds + claims.expirationSeconds;
    const token = await new SignJWT({ "kubernetes.io": kubernetes })
      .setProtectedHeader({ alg: this.#algorithm, kid: key === undefined ? "" : await keyId(key) })
      .setIssuer(this.#keys.issuer)
      .setSubject(`system:serviceaccount:${claims.namespace}:${claims.serviceAccount.name}`)
      .setAudience([...claims.audiences])
      .setIssuedAt(nowSeconds)
      .setNotBefore(nowSeconds)
      .setExpirationTime(expiresSeconds)
      .setJti(newUid(this.#random))
      .sign(this.#privateKey);
    return { token, expiresMs: expiresSeconds * 1000 };
  }

  /** Who a token speaks for; undefined when it is not good (any more), or not for these audiences. */
  async authenticate(
    token: string,
    audiences: readonly string[] = this.defaultAudiences,
  ): Promise<{ user: HttpUser; audiences: string[] } | undefined> {
    const verified = this.#verified.get(token) ?? (await this.#verify(token));
    if (verified === undefined) return undefined;
    const nowMs = this.#clock.nowMs();
    if (verified.expiresMs <= nowMs || verified.notBeforeMs > nowMs + 10_000) return undefined;
    const accepted = verified.audiences.filter((each) => audiences.includes(each));
    if (accepted.length === 0 || !this.#isStillBound(verified.claim)) return undefined;
    return { user: userOf(verified), audiences: accepted };
  }

  async #verify(token: string): Promise<Verified | undefined> {
    if (token.split(".").length !== 3) return undefined;
    let keyIdGiven: string | undefined;
    try {
      keyIdGiven = decodeProtectedHeader(token).kid;
    } catch {
      return undefined;
    }
    for (const key of this.#publicKeys) {
      if (keyIdGiven !== undefined && keyIdGiven !== (await keyId(key))) continue;
      try {
        const { payload } = await jwtVerify(token, key, {
          issuer: this.#keys.issuer,
          algorithms: ["RS256", "ES256"],
          currentDate: new Date(this.#clock.nowMs()),
        });
        const claim = payload["kubernetes.io"] as KubernetesClaim | undefined;
        if (claim === undefined) return undefined;
        const audience = payload.aud ?? [];
        const verified: Verified = {
          claim,
          audiences: Array.isArray(audience) ? audience : [audience],
          id: payload.jti ?? "",
          expiresMs: (payload.exp ?? 0) * 1000,
          notBeforeMs: (payload.nbf ?? 0) * 1000,
        };
        if (this.#verified.size >= verifiedLimit) this.#verified.clear();
        this.#verified.set(token, verified);
        return verified;
      } catch {
        // Not signed by this key, or not valid now: the next key decides.
        continue;
      }
    }
    return undefined;
  }

  #isStillBound(claim: KubernetesClaim): boolean {
    const { namespace } = claim;
    if (this.#uidOf("serviceaccounts", namespace, claim.serviceaccount.name) !== claim.serviceaccount.uid)
      return false;
    if (claim.pod !== undefined && this.#uidOf("pods", namespace, claim.pod.name) !== claim.pod.uid)
      return false;
    if (
      claim.secret !== undefined &&
      this.#uidOf("secrets", namespace, claim.secret.name) !== claim.secret.uid
    ) {
      return false;
    }
    if (claim.pod === undefined && claim.node !== undefined) {
      return this.#uidOf("nodes", "", claim.node.name) === claim.node.uid;
    }
    return true;
  }

  #uidOf(plural: string, namespace: string, name: string): string | undefined {
    const stored = this.#registry.builtIn("", plural).stored;
    if (stored === undefined) return undefined;
    const entry = stored.cache.get(objectKey(stored, namespace, name));
    if (entry === undefined) return undefined;
    const { metadata } = entry.decode();
    const deletedMs =
      metadata.deletionTimestamp === undefined ? undefined : Date.parse(metadata.deletionTimestamp);
    // A token dies a minute after what it is bound to was deleted, so that a stopping pod can still speak.
    if (deletedMs !== undefined && this.#clock.nowMs() > deletedMs + 60_000) return undefined;
    return metadata.uid;
  }

  /** The key set that others verify tokens with (/openid/v1/jwks). */
  async keySet(): Promise<{ keys: JWK[] }> {
    const keys = await Promise.all(
      this.#publicKeys.map(async (key) => ({
        use: "sig",
        ...(await exportJWK(key)),
        kid: await keyId(key),
        alg: key.asymmetricKeyType === "rsa" ? "RS256" : "ES256",
      })),
    );
    return { keys };
  }

  /** The document at /.well-known/openid-configuration. */
  discovery(): Record<string, unknown> {
    return {
      issuer: this.#keys.issuer,
      jwks_uri: `${this.#keys.issuer}/openid/v1/jwks`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: [this.#algorithm],
    };
  }
}

const keyIds = new WeakMap<KeyObject, Promise<string>>();

function keyId(key: KeyObject): Promise<string> {
  const known = keyIds.get(key);
  if (known !== undefined) return known;
  const id = exportJWK(key).then((jwk) => calculateJwkThumbprint(jwk, "sha256"));
  keyIds.set(key, id);
  return id;
}

function userOf(verified: Verified): HttpUser {
  const { claim } = verified;
  const extra: Record<string, string[]> = {};
  if (verified.id !== "") extra["authentication.kubernetes.io/credential-id"] = [`JTI=${verified.id}`];
  if (claim.node !== undefined) {
    extra["authentication.kubernetes.io/node-name"] = [claim.node.name];
    extra["authentication.kubernetes.io/node-uid"] = [claim.node.uid];
  }
  if (claim.pod !== undefined) {
    extra["authentication.kubernetes.io/pod-name"] = [claim.pod.name];
    extra["authentication.kubernetes.io/pod-uid"] = [claim.pod.uid];
  }
  return {
    name: `system:serviceaccount:${claim.namespace}:${claim.serviceaccount.name}`,
    uid: claim.serviceaccount.uid,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${claim.namespace}`, "system:authenticated"],
    extra,
  };
}
