/** Bootstrap tokens are deleted once they have expired. */
import { on, remove, requeueAfter, self, splitKey } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { expiryOf, isBootstrapSecret } from "./bootstrap-token.ts";
import { secrets } from "./kubernetes.ts";

export const bootstrapTokenCleanerController: Controller = {
  name: "token-cleaner",
  triggers: [on(secrets, self, (secret) => secret !== undefined && isBootstrapSecret(secret))],
  writes: [secrets],
  plan: planCleaning,
};

function* planCleaning(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  const secret = view.get(secrets, namespace, name);
  if (secret === undefined || !isBootstrapSecret(secret) || secret.metadata.deletionTimestamp !== undefined)
    return;
  const expiresMs = expiryOf(secret);
  if (expiresMs === undefined) return;
  if (expiresMs > nowMs) yield* requeueAfter(expiresMs - nowMs);
  else yield* remove(secrets, secret);
}
