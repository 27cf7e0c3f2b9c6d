import assert from "node:assert/strict";
import { test } from "node:test";
import type { RecordType } from "dns-packet";

import { resolve } from "./zone.ts";
import type { EndpointSlice, Service, ZoneView } from "./zone.ts";

const options = { clusterDomain: "cluster.local", dnsServiceIP: "10.43.0.10", ttlSeconds: 5 };

const services = [
  service("web", {
    clusterIP: "10.43.0.100",
    clusterIPs: ["10.43.0.100", "fd00::64"],
    ports: [{ name: "http", port: 80, protocol: "TCP" }],
  }),
  service("db", { clusterIP: "None", clusterIPs: ["None"], ports: [{ name: "sql", port: 5432 }] }),
  service("idle", { clusterIP: "None", clusterIPs: ["None"] }),
  service("docs", { type: "ExternalName", externalName: "docs.example.org." }),
];
const slices = [
  {
    metadata: { name: "db-x", namespace: "shop", labels: { "kubernetes.io/service-name": "db" } },
    addressType: "IPv4",
    ports: [{ name: "sql", port: 5432, protocol: "TCP" }],
    endpoints: [
      { addresses: ["10.42.1.2"], hostname: "db-0", conditions: { ready: true } },
      { addresses: ["10.42.2.2"], conditions: {} },
      { addresses: ["10.42.3.2"], hostname: "db-2", conditions: { ready: false } },
    ],
  } as EndpointSlice,
];
const view: ZoneView = {
  service: (namespace, name) =>
    services.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name),
  slices: (_namespace, name) =>
    slices.filter(({ metadata }) => metadata.labels!["kubernetes.io/service-name"] === name),
  namespaceExists: (namespace) => namespace === "shop",
  servicesByAddress: (ip) => services.filter(({ spec }) => spec!.clusterIPs?.includes(ip)),
  slicesByAddress: (ip) =>
    slices.filter(({ endpoints }) => endpoints.some(({ addresses }) => addresses.includes(ip))),
};

/** Each line: the question, and what it gets. */
const cases: [name: string, type: RecordType, result: string][] = [
  ["web.shop.svc.cluster.local", "A", "10.43.0.100"],
  ["WEB.shop.SVC.cluster.local", "A", "10.43.0.100"],
  ["web.shop.svc.cluster.local", "AAAA", "fd00::64"],
  ["web.shop.svc.cluster.local", "MX", "nothing"],
  ["web.shop.svc.cluster.local", "SRV", "80 web.shop.svc.cluster.local"],
  ["_http._tcp.web.shop.svc.cluster.local", "SRV", "80 web.shop.svc.cluster.local"],
  ["_http._tcp.web.shop.svc.cluster.local", "A", "nothing"],
  ["_http._udp.web.shop.svc.cluster.local", "SRV", "NXDOMAIN"],
  ["http.tcp.web.shop.svc.cluster.local", "SRV", "NXDOMAIN"],
  ["db.shop.svc.cluster.local", "A", "10.42.1.2 10.42.2.2"],
  ["db.shop.svc.cluster.local", "AAAA", "nothing"],
  ["db-0.db.shop.svc.cluster.local", "A", "10.42.1.2"],
  ["10-42-2-2.db.shop.svc.cluster.local", "A", "10.42.2.2"],
  ["db-2.db.shop.svc.cluster.local", "A", "NXDOMAIN"],
  [
    "_sql._tcp.db.shop.svc.cluster.local",
    "SRV",
    "5432 db-0.db.shop.svc.cluster.local 5432 10-42-2-2.db.shop.svc.cluster.local",
  ],
  ["idle.shop.svc.cluster.local", "A", "NXDOMAIN"],
  ["docs.shop.svc.cluster.local", "A", "alias docs.example.org"],
  ["none.shop.svc.cluster.local", "A", "NXDOMAIN"],
  ["shop.svc.cluster.local", "A", "nothing"],
  ["gone.svc.cluster.local", "A", "NXDOMAIN"],
  ["svc.cluster.local", "A", "nothing"],
  ["cluster.local", "A", "nothing"],
  ["cluster.local", "NS", "ns.dns.cluster.local"],
  ["ns.dns.cluster.local", "A", "10.43.0.10"],
  ["dns-version.cluster.local", "TXT", "1.1.0"],
  ["10-42-1-2.shop.pod.cluster.local", "A", "10.42.1.2"],
  ["10-42-1-2.shop.pod.cluster.local", "AAAA", "nothing"],
  ["10-42-1-2.gone.pod.cluster.local", "A", "NXDOMAIN"],
  ["10-42-1-999.shop.pod.cluster.local", "A", "NXDOMAIN"],
  ["100.0.43.10.in-addr.arpa", "PTR", "web.shop.svc.cluster.local"],
  ["2.1.42.10.in-addr.arpa", "PTR", "db-0.db.shop.svc.cluster.local"],
  [`4.6.${"0.".repeat(26)}0.0.d.f.ip6.arpa`, "PTR", "web.shop.svc.cluster.local"],
  ["1.1.1.1.in-addr.arpa", "PTR", "elsewhere"],
  ["example.org", "A", "elsewhere"],
  ["evilcluster.local", "A", "elsewhere"],
];

for (const [name, type, expected] of cases) {
  test(`${type} ${name}: ${expected}`, () => {
    const result = resolve({ name, type }, view, options);
    if (result.kind === "alias") return assert.equal(`alias ${result.answer.data}`, expected);
    if (result.kind === "unknown-name") return assert.equal("NXDOMAIN", expected);
    if (result.kind === "elsewhere") return assert.equal("elsewhere", expected);
    const data = result.answers.map((answer) => {
      assert.equal(answer.name, name, "the question's own spelling");
      return answer.type === "SRV"
        ? `${answer.data.port} ${answer.data.target}`
        : String((answer as { data: unknown }).data);
    });
    assert.equal(data.join(" ") || "nothing", expected);
  });
}

function service(name: string, spec: object): Service {
  return { metadata: { name, namespace: "shop" }, spec } as Service;
}
