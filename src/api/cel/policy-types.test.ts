import assert from "node:assert/strict";
import { test } from "node:test";
import { policyTypeWarnings } from "./policy-types.ts";
import { testServer } from "../server.test-suite.ts";
import type { KubeObject } from "#kinds/object.ts";

function policy(expressions: string[], resources = ["deployments"]): KubeObject {
  const rule = { apiGroups: ["apps"], apiVersions: ["v1"], operations: ["CREATE"], resources };
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicy",
    metadata: { name: "p" },
    spec: {
      matchConstraints: { resourceRules: [rule] },
      validations: expressions.map((expression) => ({ expression })),
    },
  } as unknown as KubeObject;
}

test("expressions are checked against the kinds that the policy names", async () => {
  const server = testServer();
  await server.ready();
  const check = (each: KubeObject): unknown => policyTypeWarnings(server.registry, each);
  assert.deepEqual(check(policy(["object.spec.replicas <= 5", "object.metadata.labels['a'] == 'b'"])), []);
  assert.deepEqual(check(policy(["object.replicas > 1"])), [
    {
      fieldRef: "spec.validations[0].expression",
      warning:
        "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n | ......^",
    },
  ]);
  const both = check(policy(["true", "oldObject.spec.paused == true"], ["deployments", "statefulsets"]));
  assert.match(
    JSON.stringify(both),
    /validations\[1\].*"apps\/v1, Kind=StatefulSet: ERROR.*undefined field 'paused'/,
  );
  assert.deepEqual(check(policy(["object.nothing == 1"], ["*"])), []);
  await server.close();
});

test("fields of any type, and parts that contain themselves, are open", async () => {
  const server = testServer();
  await server.ready();
  const pods = policy(["object.spec.containers.all(c, c.resources.limits['cpu'] == '1')"]);
  assert.match(JSON.stringify(policyTypeWarnings(server.registry, pods)), /undefined field 'containers'/);
  const templates = policy([
    "object.spec.template.spec.containers.all(c, c.resources.limits['cpu'] == '1')",
    "object.spec.strategy.rollingUpdate.maxSurge == 1 || object.spec.strategy.rollingUpdate.maxSurge == '25%'",
    "variables.x == params.y && request.operation == 'CREATE' && object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')",
  ]);
  assert.deepEqual(policyTypeWarnings(server.registry, templates), []);
  await server.close();
});
