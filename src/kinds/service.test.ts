import assert from "node:assert/strict";
import { test } from "node:test";
import type { StrategyContext } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { service } from "./service.ts";

const context: StrategyContext = {
  newUid: () => "00000000-0000-4000-8000-000000000000",
  warn: () => {},
  now: "2020-01-01T00:00:00Z",
  user: { name: "u", groups: [] },
  namespace: "default",
};

function loadBalancer(changes: Record<string, unknown>): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "s", namespace: "default", resourceVersion: "1" },
    spec: {
      type: "LoadBalancer",
      clusterIP: "10.96.0.9",
      clusterIPs: ["10.96.0.9"],
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      internalTrafficPolicy: "Cluster",
      allocateLoadBalancerNodePorts: true,
      sessionAffinity: "None",
      ports: [{ port: 80, targetPort: 80, protocol: "TCP", nodePort: 30080 }],
      ...changes,
    },
  };
}

function updated(changes: Record<string, unknown>): { spec: Record<string, unknown>; fields: string[] } {
  const old = loadBalancer({ externalTrafficPolicy: "Local", healthCheckNodePort: 30100 });
  const object = loadBalancer(changes);
  service.prepareUpdate?.(object, old, context);
  const errors = service.validateUpdate?.(object, old) ?? [];
  return { spec: object["spec"] as Record<string, unknown>, fields: errors.map((each) => each.field) };
}

test("the health-check port goes with the policy that needs it", () => {
  const { spec, fields } = updated({ externalTrafficPolicy: "Cluster", healthCheckNodePort: 30100 });
  assert.equal(spec["healthCheckNodePort"], undefined);
  assert.deepEqual(fields, []);
});

test("the health-check port stays where a writer does not name it", () => {
  assert.equal(updated({ externalTrafficPolicy: "Local" }).spec["healthCheckNodePort"], 30100);
});

test("a health-check port of the writer's own is refused where there is no use for it", () => {
  const { fields } = updated({ externalTrafficPolicy: "Cluster", healthCheckNodePort: 30101 });
  assert.ok(fields.includes("spec.healthCheckNodePort"));
});
