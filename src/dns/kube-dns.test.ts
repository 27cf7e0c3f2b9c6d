import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "#client/client.ts";
import { createFakeApi } from "#client/fake-api.ts";
import { ensureDnsService, publishEndpoint } from "./kube-dns.ts";

test("the Service is made once, and each node adds its own endpoint, which follows its address", async () => {
  const api = createFakeApi();
  const client = createClient({ transport: api.handler, userAgent: "test" });
  api.put("/api/v1/nodes", "n1", { metadata: { name: "n1", uid: "uid-n1" } });
  for (const address of ["10.42.1.1", "10.42.7.1"]) {
    await ensureDnsService(client, "10.43.0.10");
    await publishEndpoint(client, "n1", address);
  }
  const service = api.get("/api/v1/services", "kube-system/kube-dns")!;
  assert.equal((service["spec"] as { clusterIP: string }).clusterIP, "10.43.0.10");
  const slice = api.get("/apis/discovery.k8s.io/v1/endpointslices", "kube-system/kube-dns-n1")!;
  assert.deepEqual((slice["endpoints"] as { addresses: string[] }[])[0]!.addresses, ["10.42.7.1"]);
  assert.equal(slice.metadata.ownerReferences![0]!.uid, "uid-n1");
});
