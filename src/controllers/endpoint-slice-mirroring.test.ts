import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointSliceMirroringController } from "./endpoint-slice-mirroring.ts";
import { endpointSlices, endpoints, services } from "./kubernetes.ts";
import type { Endpoints, Service } from "./kubernetes.ts";
import { World } from "./transcript.test-suite.ts";

const key = "default/db";

function world(metadata: object = {}): World {
  const made = new World();
  made.put(services, { metadata: { name: "db", namespace: "default" } } as unknown as Service);
  made.put(endpoints, {
    metadata: { name: "db", namespace: "default", ...metadata },
    subsets: [
      {
        addresses: [{ ip: "192.0.2.1" }, { ip: "2001:db8::1" }],
        notReadyAddresses: [{ ip: "192.0.2.2" }],
        ports: [{ port: 5432, protocol: "TCP" }],
      },
    ],
  } as unknown as Endpoints);
  return made;
}

test("addresses kept by hand are copied, a slice per family, and go with their source", () => {
  const it = world({ labels: { tier: "data" } });
  assert.deepEqual(it.run(endpointSliceMirroringController, key), [
    "create EndpointSlice db-1",
    "create EndpointSlice db-2",
  ]);
  const [slice] = it.list(endpointSlices);
  assert.deepEqual(
    slice?.endpoints.map((each) => [each.addresses[0], each.conditions?.ready]),
    [
      ["192.0.2.1", true],
      ["192.0.2.2", false],
    ],
  );
  assert.deepEqual(slice?.metadata.labels, {
    tier: "data",
    "kubernetes.io/service-name": "db",
    "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
  });
  it.put(endpoints, { ...it.get(endpoints, "default", "db")!, subsets: [] });
  assert.deepEqual(it.run(endpointSliceMirroringController, key), [
    "delete EndpointSlice db-1",
    "delete EndpointSlice db-2",
  ]);
});

test("locks, those that say so, and services with a selector are left alone", () => {
  const lock = world({ annotations: { "control-plane.alpha.kubernetes.io/leader": "{}" } });
  const refused = world({ labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } });
  const selecting = world();
  const service = selecting.get(services, "default", "db")!;
  selecting.put(services, { ...service, spec: { selector: { app: "db" } } });
  for (const each of [lock, refused, selecting])
    assert.deepEqual(each.run(endpointSliceMirroringController, key), []);
});
