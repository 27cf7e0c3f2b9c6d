/** Bootstrap tokens: what a Secret in kube-system of type bootstrap.kubernetes.io/token says. */
import type { Secret } from "./kubernetes.ts";

const secretType = "bootstrap.kubernetes.io/token";
const namePrefix = "bootstrap-token-";

export interface BootstrapToken {
  id: string;
  secret: string;
  /** When it ends; undefined: never. What can't be read has ended long ago. */
  expiresMs: number | undefined;
  /** It may sign the cluster-info ConfigMap. */
  signs: boolean;
}

export function isBootstrapSecret(secret: Secret): boolean {
  return secret.metadata.namespace === "kube-system" && secret.type === secretType;
}

/** Undefined when the Secret is no usable token. */
export function readBootstrapToken(secret: Secret): BootstrapToken | undefined {
  const field = (name: string): string => decode(secret.data?.[name] ?? "");
  const id = field("token-id");
  const token = field("token-secret");
  if (!/^[a-z0-9]{6}$/.test(id) || secret.metadata.name !== namePrefix + id || token === "") return undefined;
  return {
    id,
    secret: token,
    expiresMs: expiryOf(secret),
    signs: field("usage-bootstrap-signing") === "true",
  };
}

/** Also of Secrets that are no usable token: they are cleaned up as well. */
export function expiryOf(secret: Secret): number | undefined {
  const text = decode(secret.data?.["expiration"] ?? "");
  return text === "" ? undefined : Date.parse(text) || 0;
}

function decode(base64: string): string {
  return new TextDecoder().decode(Uint8Array.from(atob(base64), (each) => each.charCodeAt(0)));
}
