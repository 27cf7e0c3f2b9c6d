/** Golden transcripts of policies, and the cases in which a packet's fate turns. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";

import { compilePolicies } from "./compile-policies.ts";
import type { Namespace, NetworkPolicy, Pod } from "./objects.ts";
import { renderChange, renderRuleset } from "./ruleset.ts";

const node = { name: "n1", ownServiceIPs: ["10.43.0.10"] };
const namespaces: Namespace[] = [
  { metadata: { name: "shop", labels: { team: "a" } } },
  { metadata: { name: "ops", labels: { team: "b" } } },
];
const web = pod("web", "shop", "10.42.1.2", "n1", { app: "web" }, [{ name: "http", containerPort: 8080 }]);
const database = pod("db", "shop", "10.42.2.2", "n2", { app: "db" }, [{ name: "sql", containerPort: 5432 }]);
const probe = pod("probe", "ops", "10.42.2.3", "n2", { app: "probe" });
const pods = [web, database, probe];

test("ingress and egress with every kind of peer and port", () => {
  const policies = [
    policy("web", {
      podSelector: { matchLabels: { app: "web" } },
      policyTypes: ["Ingress", "Egress"],
      ingress: [
        {
          from: [
            { podSelector: {} },
            {
              namespaceSelector: { matchLabels: { team: "b" } },
              podSelector: { matchLabels: { app: "probe" } },
            },
            { ipBlock: { cidr: "192.0.2.0/24", except: ["192.0.2.128/25", "192.0.2.200/32"] } },
          ],
          ports: [{ port: "http" }, { port: 9000, endPort: 9010 }, { protocol: "UDP" }],
        },
        { ports: [{ port: 443 }] },
      ],
      egress: [{ to: [{ podSelector: { matchLabels: { app: "db" } } }], ports: [{ port: "sql" }] }],
    }),
    policy("deny", { podSelector: {} }),
    policy("elsewhere", { podSelector: { matchLabels: { app: "db" } } }),
  ];
  expectGolden("policies.nft", renderRuleset(compilePolicies(policies, pods, namespaces, node)));
});

test("a pod that comes changes elements, not rules", () => {
  const allow = policy("allow", { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] });
  const before = compilePolicies([allow], pods, namespaces, node);
  const more = [...pods, pod("web-2", "shop", "10.42.3.2", "n3", { app: "web" })];
  assert.equal(
    renderChange(before, compilePolicies([allow], more, namespaces, node)),
    "add element ip trivet-policies peers/ingress/shop/allow/0/0 { 10.42.3.2 }\n",
  );
});

test("a pod that no policy selects is free, and without policies nothing is looked up", () => {
  const { collections } = compilePolicies(
    [policy("other", { podSelector: { matchLabels: { app: "x" } } })],
    pods,
    namespaces,
    node,
  );
  assert.equal(collections.get("ingress-pods")!.elements.size, 0);
});

test("host-network and finished pods are neither isolated nor peers", () => {
  const host = { ...web, spec: { ...web.spec!, hostNetwork: true } };
  const done = { ...database, status: { ...database.status, phase: "Succeeded" } };
  const allow = policy("allow", { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] });
  const { collections } = compilePolicies([allow], [host, done, probe], namespaces, node);
  assert.equal(collections.get("ingress-pods")!.elements.size, 0);
});

test("egress counts only where the policy has it", () => {
  const isolated = (spec: object) =>
    [
      ...compilePolicies([policy("p", { podSelector: {}, ...spec })], pods, namespaces, node).chains.keys(),
    ].filter((name) => name.includes("-pod/"));
  assert.deepEqual(isolated({}), ["ingress-pod/10.42.1.2"]);
  assert.deepEqual(isolated({ egress: [] }).sort(), ["egress-pod/10.42.1.2", "ingress-pod/10.42.1.2"]);
  assert.deepEqual(isolated({ policyTypes: ["Egress"] }), ["egress-pod/10.42.1.2"]);
});

function policy(name: string, spec: object): NetworkPolicy {
  return { metadata: { name, namespace: "shop", uid: `uid-${name}` }, spec } as NetworkPolicy;
}

function pod(
  name: string,
  namespace: string,
  podIP: string,
  nodeName: string,
  labels: object,
  ports: object[] = [],
): Pod {
  return {
    metadata: { name, namespace, labels },
    spec: { nodeName, containers: [{ name: "main", ports }] },
    status: { phase: "Running", podIP },
  } as Pod;
}

/** `UPDATE_GOLDEN=1` rewrites the transcripts. */
function expectGolden(name: string, actual: string): void {
  const path = `${import.meta.dirname}/testdata/${name}`;
  if (process.env["UPDATE_GOLDEN"]) writeFileSync(path, actual);
  assert.equal(actual, readFileSync(path, "utf8"));
}
