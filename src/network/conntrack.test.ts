import assert from "node:assert/strict";
import { test } from "node:test";

import { flushStaleFlows, staleFlows } from "./conntrack.ts";
import type { ServicePort } from "./service-port.ts";

test("a UDP endpoint that went takes its flows along", () => {
  assert.deepEqual(staleFlows([port("a", "b")], [port("b")]), [
    { serviceIP: "10.43.0.5", port: 53, endpointIP: "a" },
    { serviceIP: undefined, port: 30053, endpointIP: "a" },
  ]);
});

test("the first endpoint of a Service ends the flows that found none", () => {
  assert.equal(staleFlows([port()], [port("a")])[0]!.endpointIP, undefined);
});

test("TCP ends by itself", () => {
  assert.deepEqual(staleFlows([{ ...port("a"), protocol: "tcp" }], []), []);
});

test("without the tool, or without such a flow, all is well", async () => {
  const failing = (text: string) => () => Promise.reject(new Error(text));
  const flows = staleFlows([port("a")], []);
  await flushStaleFlows(failing("spawn conntrack ENOENT"), flows);
  await flushStaleFlows(failing("0 flow entries have been deleted."), flows);
  await assert.rejects(flushStaleFlows(failing("Operation not permitted"), flows));
});

function port(...endpoints: string[]): ServicePort {
  return {
    id: "default/dns/udp/53",
    protocol: "udp",
    port: 53,
    clusterIP: "10.43.0.5",
    externalIPs: [],
    loadBalancerIPs: [],
    nodePort: 30053,
    sourceRanges: [],
    internalLocal: false,
    externalLocal: false,
    affinitySeconds: undefined,
    endpoints: endpoints.map((ip) => ({ ip, port: 5353, local: false })),
    localEndpoints: [],
  };
}
