/** Every namespace has a ServiceAccount "default". */
import { StatusError } from "#base/errors.ts";
import { create, on, self } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { namespaces, serviceAccounts } from "./kubernetes.ts";

const accountName = "default";

export const serviceAccountController: Controller = {
  name: "service-account-controller",
  triggers: [
    on(namespaces, self),
    on(
      serviceAccounts,
      (account) => [account.metadata.namespace ?? ""],
      (account, old) => account === undefined && old?.metadata.name === accountName,
    ),
  ],
  writes: [serviceAccounts],
  plan: planServiceAccount,
};

export function* planServiceAccount(view: View, key: string): Plan {
  const namespace = view.get(namespaces, undefined, key);
  if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return;
  if (view.get(serviceAccounts, key, accountName) !== undefined) return;
  try {
    yield* create(serviceAccounts, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: accountName, namespace: key },
    });
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === "AlreadyExists")) throw error;
  }
}
