import assert from "node:assert/strict";
import { test } from "node:test";
import { secrets, serviceAccounts } from "./kubernetes.ts";
import type { Secret } from "./kubernetes.ts";
import { serviceAccountTokenController } from "./service-account-token.ts";
import { World } from "./transcript.test-suite.ts";

const controller = serviceAccountTokenController("authority");
const key = "default/robot-token";

function secret(): Secret {
  return {
    metadata: {
      name: "robot-token",
      namespace: "default",
      annotations: { "kubernetes.io/service-account.name": "robot" },
    },
    type: "kubernetes.io/service-account-token",
  } as unknown as Secret;
}

test("a token Secret gets the account's token and the authority", () => {
  const world = new World();
  world.put(serviceAccounts, { metadata: { name: "robot", namespace: "default" } });
  world.put(secrets, secret());
  world.answer = (action) => (action.type === "post" ? { status: { token: "t" } } : undefined);
  assert.deepEqual(world.run(controller, key), ["post", "update Secret robot-token"]);
  const found = world.get(secrets, "default", "robot-token")!;
  assert.deepEqual(found.data, { token: "dA==", "ca.crt": "YXV0aG9yaXR5", namespace: "ZGVmYXVsdA==" });
  assert.equal(found.metadata.annotations?.["kubernetes.io/service-account.uid"], "serviceaccounts-robot");
});

test("a token Secret goes with its account", () => {
  const world = new World();
  world.put(secrets, secret());
  assert.deepEqual(world.run(controller, key), ["delete Secret robot-token"]);
});
