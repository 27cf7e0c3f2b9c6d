/**
 * Secrets of type kubernetes.io/service-account-token: each gets a token of the account that it names,
 * bound to the Secret itself, and goes when the account does. The token is one of TokenRequest with the
 * longest life that the API grants (136 years): it ends with its Secret or its account.
 */
import { StatusError } from "#base/errors.ts";
import { get, on, remove, self, splitKey, update } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import type { KubeObject } from "#kinds/object.ts";
import { secrets, serviceAccounts } from "./kubernetes.ts";
import type { Secret, ServiceAccount } from "./kubernetes.ts";

const secretType = "kubernetes.io/service-account-token";
const nameAnnotation = "kubernetes.io/service-account.name";
const uidAnnotation = "kubernetes.io/service-account.uid";
const longestSeconds = 2 ** 32;

/** `rootCa`: PEM, goes beside the token. */
export function serviceAccountTokenController(rootCa: string): Controller {
  return {
    name: "serviceaccount-token-controller",
    triggers: [
      on(secrets, self, (secret, old) => (secret ?? old)?.type === secretType && secret !== undefined),
      on(serviceAccounts, secretsOfAccount),
    ],
    writes: [secrets],
    plan: (view, key) => planToken(view, key, rootCa),
  };
}

function* planToken(view: View, key: string, rootCa: string): Plan {
  const { namespace, name } = splitKey(key);
  const secret = view.get(secrets, namespace, name);
  if (secret === undefined || secret.type !== secretType) return;
  if (secret.metadata.deletionTimestamp !== undefined) return;
  const accountName = secret.metadata.annotations?.[nameAnnotation] ?? "";
  // A Secret may be seen before its account: its deletion is worth a question.
  const account =
    view.get(serviceAccounts, namespace, accountName) ?? (yield* freshAccount(namespace, accountName));
  const wantedUid = secret.metadata.annotations?.[uidAnnotation] ?? "";
  const uid = account?.metadata.uid ?? "";
  if (account === undefined || (wantedUid !== "" && wantedUid !== uid)) {
    yield* remove(secrets, secret);
    return;
  }
  const data: Record<string, string> = { ...secret.data };
  const wanted = { "ca.crt": btoa(rootCa), namespace: btoa(namespace) };
  const isComplete =
    (data["token"] ?? "") !== "" &&
    data["ca.crt"] === wanted["ca.crt"] &&
    (data["namespace"] ?? "") !== "" &&
    wantedUid !== "";
  if (isComplete) return;
  if ((data["token"] ?? "") === "") data["token"] = btoa(yield* newToken(secret, accountName));
  data["ca.crt"] = wanted["ca.crt"];
  data["namespace"] ??= wanted.namespace;
  const annotations = { ...secret.metadata.annotations, [uidAnnotation]: uid };
  yield* update(secrets, { ...secret, metadata: { ...secret.metadata, annotations }, data });
}

function* freshAccount(namespace: string, name: string): Plan<ServiceAccount | undefined> {
  if (name === "") return undefined;
  try {
    return yield* get(serviceAccounts, namespace, name);
  } catch (error) {
    if (error instanceof StatusError && error.reason === "NotFound") return undefined;
    throw error;
  }
}

function* newToken({ metadata }: Secret, accountName: string): Plan<string> {
  const boundObjectRef = { kind: "Secret", apiVersion: "v1", name: metadata.name, uid: metadata.uid };
  const answer = (yield {
    type: "post",
    resource: serviceAccounts,
    namespace: metadata.namespace,
    name: accountName,
    subresource: "token",
    body: {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: {},
      spec: { audiences: [], expirationSeconds: longestSeconds, boundObjectRef },
    } as KubeObject,
  }) as { status?: { token?: string } };
  return answer.status?.token ?? "";
}

function* secretsOfAccount(account: KubeObject, view: View): Iterable<string> {
  for (const secret of view.list(secrets, account.metadata.namespace)) {
    if (secret.type !== secretType) continue;
    if (secret.metadata.annotations?.[nameAnnotation] === account.metadata.name) yield* self(secret);
  }
}
