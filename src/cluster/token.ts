/**
 * Join tokens: what `add-node` prints and `join` takes. The cluster keeps only a hash, an end and
 * whether the token was used; the token itself is shown once.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { StatusError } from "#base/errors.ts";

export type NodeRole = "control-plane" | "worker" | "witness";

/** What the cluster stores of a token. */
export interface TokenRecord {
  id: string;
  /** SHA-256 of the secret, hex. */
  secretHash: string;
  role: NodeRole;
  /** Milliseconds since the epoch. */
  expiresAtMs: number;
  /** Name of the node that used it; empty while unused. */
  usedBy: string;
}

export interface Invitation {
  /** host:port of an API server of the cluster. */
  endpoint: string;
  tokenId: string;
  secret: string;
  /** SHA-256 of the cluster authority's certificate, 64 hex digits. */
  fingerprint: string;
}

/** A new token: the record to store and the text "ID.SECRET" to hand out. */
export function createToken(role: NodeRole, expiresAtMs: number): { record: TokenRecord; token: string } {
  const id = randomBytes(4).toString("hex");
  const secret = randomBytes(16).toString("hex");
  return {
    record: { id, secretHash: hashSecret(secret), role, expiresAtMs, usedBy: "" },
    token: `${id}.${secret}`,
  };
}

/** Parses "HOST:PORT/TOKEN/FINGERPRINT". Throws a StatusError that says what is wrong with it. */
export function parseInvitation(text: string): Invitation {
  const match = /^([^/\s]+:\d{1,5})\/([0-9a-f]{8})\.([0-9a-f]{32})\/([0-9a-f]{64})$/.exec(text.trim());
  if (match === null)
    throw new StatusError(
      "BadRequest",
      `"${text}" is not an invitation: expected HOST:PORT/TOKEN/FINGERPRINT as printed by "trivet add-node"`,
    );
  const [, endpoint = "", tokenId = "", secret = "", print = ""] = match;
  return { endpoint, tokenId, secret, fingerprint: print };
}

/** Throws Unauthorized with one clear reason when the secret doesn't open the token now. */
export function checkToken(record: TokenRecord | undefined, secret: string, nowMs: number): TokenRecord {
  if (
    record === undefined ||
    !timingSafeEqual(Buffer.from(record.secretHash, "hex"), Buffer.from(hashSecret(secret), "hex"))
  )
    throw refused("is not known to this cluster");
  if (record.usedBy !== "") throw refused(`was already used by node "${record.usedBy}"`);
  if (record.expiresAtMs <= nowMs) throw refused(`expired at ${new Date(record.expiresAtMs).toISOString()}`);
  return record;
}

function refused(reason: string): StatusError {
  return new StatusError(
    "Unauthorized",
    `the join token ${reason}; run "trivet add-node" on a node of the cluster for a new one`,
  );
}

function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
