/** Golden transcripts: what the rules are, and what a change of the objects changes in them. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";

import { compileRules } from "./compile-rules.ts";
import type { ProxyNode } from "./compile-rules.ts";
import type { EndpointSlice, Service } from "./objects.ts";
import { renderChange, renderRuleset } from "./ruleset.ts";

const node: ProxyNode = {
  name: "n1",
  clusterCidr: "10.42.0.0/16",
  serviceCidr: "10.43.0.0/16",
  ownServiceIPs: ["10.43.0.10"],
};

const web = service("web", "10.43.0.100", { type: "NodePort" }, [
  { name: "http", port: 80, nodePort: 30080 },
]);
const webSlice = slice(
  "web",
  [{ name: "http", port: 8080 }],
  [
    ["10.42.1.2", "n1"],
    ["10.42.2.2", "n2"],
  ],
);

test("every kind of Service", () => {
  const services = [
    web,
    service("dns", "10.43.0.10", {}, [{ port: 53, protocol: "UDP" }]),
    service("headless", "None", {}, [{ port: 80 }]),
    service("empty", "10.43.0.101", { type: "NodePort" }, [{ port: 80, nodePort: 30081 }]),
    service("sticky", "10.43.0.102", { sessionAffinity: "ClientIP" }, [{ port: 53, protocol: "UDP" }]),
    service("signal", "10.43.0.103", { externalIPs: ["192.0.2.7"] }, [{ port: 36412, protocol: "SCTP" }]),
    service("near", "10.43.0.104", { internalTrafficPolicy: "Local" }, [{ port: 80 }]),
    service("far", "10.43.0.105", { internalTrafficPolicy: "Local" }, [{ port: 80 }]),
    {
      ...service(
        "edge",
        "10.43.0.106",
        {
          type: "LoadBalancer",
          externalTrafficPolicy: "Local",
          loadBalancerSourceRanges: ["198.51.100.0/24", "203.0.113.0/24"],
        },
        [{ port: 443, nodePort: 30443 }],
      ),
      status: { loadBalancer: { ingress: [{ ip: "192.0.2.8" }] } },
    },
    {
      ...service("away", "10.43.0.107", { type: "LoadBalancer", externalTrafficPolicy: "Local" }, [
        { port: 443, nodePort: 30444 },
      ]),
      status: { loadBalancer: { ingress: [{ ip: "192.0.2.9" }, { hostname: "example.org" }] } },
    },
  ];
  const endpoints: [string, string][] = [["10.42.1.9", "n1"]];
  const slices = [
    webSlice,
    slice("sticky", [{ port: 5353, protocol: "UDP" }], endpoints),
    slice("signal", [{ port: 36412, protocol: "SCTP" }], endpoints),
    slice("near", [{ port: 8080 }], [...endpoints, ["10.42.2.9", "n2"]]),
    slice("far", [{ port: 8080 }], [["10.42.2.9", "n2"]]),
    slice("edge", [{ port: 8443 }], [...endpoints, ["10.42.2.9", "n2"]]),
    slice("away", [{ port: 8443 }], [["10.42.2.9", "n2"]]),
  ];
  expectGolden("services.nft", renderRuleset(compileRules(services, slices, node)));
});

test("a new endpoint changes one chain", () => {
  const more = slice(
    "web",
    [{ name: "http", port: 8080 }],
    [
      ["10.42.1.2", "n1"],
      ["10.42.2.2", "n2"],
      ["10.42.3.2", "n3"],
    ],
  );
  expectGolden("endpoint-added.nft", change([web], [webSlice], [web], [more]));
});

test("the last endpoint gone, the Service refuses", () => {
  expectGolden("endpoints-gone.nft", change([web], [webSlice], [web], []));
});

test("a Service gone leaves nothing", () => {
  const sticky = service("web", "10.43.0.100", { sessionAffinity: "ClientIP" }, [{ name: "http", port: 80 }]);
  expectGolden("service-gone.nft", change([sticky], [webSlice], [], []));
});

test("another affinity timeout makes new sets", () => {
  const sticky = (timeoutSeconds: number) =>
    service(
      "web",
      "10.43.0.100",
      { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds } } },
      [{ name: "http", port: 80 }],
    );
  const text = change([sticky(60)], [webSlice], [sticky(90)], [webSlice]);
  assert.match(text, /add set ip trivet-services clients\/.*\/90 \{ .*timeout 90s; \}/);
  assert.match(text, /delete set ip trivet-services clients\/.*\/60$/m);
});

test("the order of the objects doesn't matter", () => {
  const other = service("other", "10.43.0.50", {}, [{ port: 80 }]);
  assert.equal(change([web, other], [webSlice], [other, web], [webSlice]), "");
});

test("ready endpoints come first, then terminating ones that still serve", () => {
  const serving = { ready: false, serving: true, terminating: true };
  const draining = structuredClone(webSlice);
  draining.endpoints[0]!.conditions = serving;
  const one = renderRuleset(compileRules([web], [draining], node));
  assert.match(one, /numgen random mod 1 map \{ 0 : 10\.42\.2\.2 \. 8080 \}/);
  draining.endpoints[1]!.conditions = serving;
  assert.match(renderRuleset(compileRules([web], [draining], node)), /numgen random mod 2/);
  for (const endpoint of draining.endpoints) endpoint.conditions = { ready: false, serving: false };
  assert.match(
    renderRuleset(compileRules([web], [draining], node)),
    /refused-ips \{ 10\.43\.0\.100 \. tcp \. 80 : goto refuse/,
  );
});

test("hints keep traffic in the zone, if every endpoint has one", () => {
  const hinted = structuredClone(webSlice);
  hinted.endpoints.forEach((endpoint, at) => (endpoint.hints = { forZones: [{ name: `zone-${at}` }] }));
  const rules = () => renderRuleset(compileRules([web], [hinted], { ...node, zone: "zone-1" }));
  assert.match(rules(), /numgen random mod 1 map \{ 0 : 10\.42\.2\.2 \. 8080 \}/);
  delete hinted.endpoints[0]!.hints;
  assert.match(rules(), /numgen random mod 2/);
});

function change(
  services: Service[],
  slices: EndpointSlice[],
  nextServices: Service[],
  nextSlices: EndpointSlice[],
): string {
  return renderChange(compileRules(services, slices, node), compileRules(nextServices, nextSlices, node));
}

function service(name: string, clusterIP: string, spec: object, ports: object[]): Service {
  return {
    metadata: { name, namespace: "default" },
    spec: { type: "ClusterIP", clusterIP, clusterIPs: [clusterIP], ports, ...spec },
  } as Service;
}

function slice(name: string, ports: object[], endpoints: [ip: string, nodeName: string][]): EndpointSlice {
  return {
    metadata: { name: `${name}-x`, namespace: "default", labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports,
    endpoints: endpoints.map(([ip, nodeName]) => ({
      addresses: [ip],
      nodeName,
      conditions: { ready: true },
    })),
  } as EndpointSlice;
}

/** `UPDATE_GOLDEN=1` rewrites the transcripts. */
function expectGolden(name: string, actual: string): void {
  const path = `${import.meta.dirname}/testdata/${name}`;
  if (process.env["UPDATE_GOLDEN"]) writeFileSync(path, actual);
  assert.equal(actual, readFileSync(path, "utf8"));
}
