/**
 * Signs the kubeconfig in the ConfigMap kube-public/cluster-info with every bootstrap token that may, so
 * that a joining node can check with its token what it reads without credentials. Whoever offers such
 * joins makes the ConfigMap; without one there is nothing to sign.
 */
import { digest, on, requeueAfter, update } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { isBootstrapSecret, readBootstrapToken } from "./bootstrap-token.ts";
import type { BootstrapToken } from "./bootstrap-token.ts";
import { equal } from "./equality.ts";
import { configMaps, secrets } from "./kubernetes.ts";
import type { ConfigMap } from "./kubernetes.ts";

const mapNamespace = "kube-public";
const mapName = "cluster-info";
const signaturePrefix = "jws-kubeconfig-";
const key = `${mapNamespace}/${mapName}`;

export const bootstrapSignerController: Controller = {
  name: "bootstrap-signer",
  triggers: [
    on(
      configMaps,
      () => [key],
      (map) => map !== undefined && isClusterInfo(map),
    ),
    on(
      secrets,
      () => [key],
      (secret, old) => [secret, old].some((each) => each !== undefined && isBootstrapSecret(each)),
    ),
  ],
  writes: [configMaps],
  plan: planSignatures,
};

function* planSignatures(view: View, _key: string, nowMs: number): Plan {
  const map = view.get(configMaps, mapNamespace, mapName);
  const content = map?.data?.["kubeconfig"] ?? "";
  if (map === undefined || content === "" || map.metadata.deletionTimestamp !== undefined) return;
  const data: Record<string, string> = {};
  for (const [name, value] of Object.entries(map.data ?? {}))
    if (!name.startsWith(signaturePrefix)) data[name] = value;
  let nextMs: number | undefined;
  for (const token of signingTokens(view, nowMs)) {
    data[signaturePrefix + token.id] = yield* detachedSignature(content, token);
    if (token.expiresMs !== undefined) nextMs = Math.min(nextMs ?? token.expiresMs, token.expiresMs);
  }
  if (!equal(map.data, data)) yield* update(configMaps, { ...map, data });
  if (nextMs !== undefined) yield* requeueAfter(nextMs - nowMs);
}

function signingTokens(view: View, nowMs: number): BootstrapToken[] {
  return view
    .list(secrets, "kube-system")
    .filter(isBootstrapSecret)
    .map(readBootstrapToken)
    .filter((token) => token !== undefined)
    .filter((token) => token.signs && (token.expiresMs === undefined || token.expiresMs > nowMs));
}

/** A JWS in compact form (RFC 7515) without its middle: HS256 with the token's secret. */
function* detachedSignature(content: string, { id, secret }: BootstrapToken): Plan<string> {
  const header = base64Url(JSON.stringify({ alg: "HS256", kid: id }));
  return `${header}..${yield* digest(`${header}.${base64Url(content)}`, "base64url", secret)}`;
}

function base64Url(text: string): string {
  return new TextEncoder().encode(text).toBase64({ alphabet: "base64url", omitPadding: true });
}

function isClusterInfo({ metadata }: ConfigMap): boolean {
  return metadata.namespace === mapNamespace && metadata.name === mapName;
}
