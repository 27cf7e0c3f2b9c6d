/**
 * Service-account tokens for pods, asked from the API (TokenRequest), bound to the pod, kept in memory
 * and renewed when four fifths of their life or a day have passed.
 */
import type { Client } from "#client/types.ts";
import type { Clock } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";
import { serviceAccounts } from "./types.ts";
import type { Pod } from "./types.ts";

interface TokenRequest extends KubeObject {
  status?: { token: string; expirationTimestamp: string };
}

interface Kept {
  token: string;
  issuedAtMs: number;
  expiresAtMs: number;
  uid: string;
}

export interface TokenSource {
  audience?: string;
  expirationSeconds?: number;
}

const dayMs = 24 * 3600 * 1000;

export class Tokens {
  #client: Client;
  #clock: Clock;
  #kept = new Map<string, Kept>();

  constructor(client: Client, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  async get(pod: Pod, source: TokenSource): Promise<string> {
    const key = tokenKey(pod, source);
    const kept = this.#kept.get(key);
    const nowMs = this.#clock.nowMs();
    if (kept && !isDue(kept, nowMs)) return kept.token;
    try {
      return await this.#request(key, pod, source);
    } catch (error) {
      // An old token that still holds is better than none.
      if (kept && kept.expiresAtMs > nowMs) return kept.token;
      throw error;
    }
  }

  /** The token that `get` fetched last. */
  known(pod: Pod, source: TokenSource): string | undefined {
    return this.#kept.get(tokenKey(pod, source))?.token;
  }

  release(uid: string): void {
    for (const [key, kept] of this.#kept) if (kept.uid === uid) this.#kept.delete(key);
  }

  async #request(key: string, pod: Pod, source: TokenSource): Promise<string> {
    const { namespace, name, uid } = pod.metadata;
    const account = pod.spec.serviceAccountName || "default";
    const request: TokenRequest = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: {},
      spec: {
        audiences: source.audience ? [source.audience] : [],
        expirationSeconds: source.expirationSeconds ?? 3600,
        boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
      },
    };
    const answer = await this.#client.post<TokenRequest>(
      serviceAccounts,
      namespace,
      account,
      "token",
      request,
    );
    const issuedAtMs = this.#clock.nowMs();
    const token = answer.status?.token ?? "";
    const expiresAtMs = Date.parse(answer.status?.expirationTimestamp ?? "") || issuedAtMs + 600_000;
    this.#kept.set(key, { token, issuedAtMs, expiresAtMs, uid: uid ?? "" });
    return token;
  }
}

function isDue(kept: Kept, nowMs: number): boolean {
  const lifeMs = kept.expiresAtMs - kept.issuedAtMs;
  return nowMs > kept.issuedAtMs + Math.min(lifeMs * 0.8, dayMs);
}

function tokenKey(pod: Pod, source: TokenSource): string {
  return [pod.metadata.uid, source.audience ?? "", source.expirationSeconds ?? 3600].join("/");
}
