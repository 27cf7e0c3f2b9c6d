/**
 * The network rooms on real kernels' devices and rules: three lab hosts, pods made by the standard CNI
 * plugins from the configuration that the node writes, a fake API in each node.
 */
import assert from "node:assert/strict";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { createLab, openLab } from "#lab/lab.ts";
import type { Lab } from "#lab/lab.ts";
import { waitUntil } from "#lab/processes.ts";

const dir = "/tmp/trivet-network-e2e";
const node = process.execPath;
const source = import.meta.dirname;
let lab: Lab;

interface TestPod {
  name: string;
  host: string;
  ip: string;
}
const pods = new Map<string, TestPod>();

before(async () => {
  await openLab(dir).then(
    (old) => old.down(),
    () => undefined,
  );
  lab = await createLab({ dir, nodes: 3, subnet: "10.66.77.0/24" });
  await publish();
  for (const { name, address } of lab.hosts)
    await lab.spawn(name, "trivet", [node, `${source}/network/node.ts`, name, address]);
  for (const { name } of lab.hosts) await nodeReady(name);
  for (const [name, host] of [
    ["a1", "n1"],
    ["a2", "n1"],
    ["b1", "n2"],
    ["c1", "n3"],
  ] as const) {
    await startPod(name, host);
  }
  await publish();
});

after(async () => {
  await (await openLab(dir)).down();
  await rm(dir, { recursive: true, force: true });
});

test("pods reach pods on their own and on other nodes, with their own addresses", async () => {
  for (const target of ["a2", "b1", "c1"])
    assert.equal(await ask("a1", ip(target), 8080), `${target} ${ip("a1")}`);
  assert.equal(await ask("b1", ip("a1"), 8080, "udp"), `a1 ${ip("b1")}`);
});

test("nodes reach pods on any node", async () => {
  assert.match(await askFromHost("n1", ip("a1"), 8080), /^a1 /);
  assert.match(await askFromHost("n1", ip("c1"), 8080), /^c1 /);
});

test("pods' devices leave room for the tunnel's headers", async () => {
  const { stdout } = await inPod("a1", ["ip", "-json", "link", "show", "eth0"]);
  assert.equal((JSON.parse(stdout) as { mtu: number }[])[0]!.mtu, 1450);
});

test("a ClusterIP reaches every endpoint, from pods and from nodes, over TCP and UDP", async () => {
  await eventually(async () => assert.match(await ask("b1", "10.43.0.100", 80), /^a1|a2|c1/));
  const seen = new Set<string>();
  for (let attempt = 0; attempt < 40 && seen.size < 3; attempt++)
    seen.add((await ask("b1", "10.43.0.100", 80)).split(" ")[0]!);
  assert.deepEqual([...seen].sort(), ["a1", "a2", "c1"]);
  assert.match(await ask("a1", "10.43.0.100", 80, "udp"), /^(a1|a2|c1) /);
  assert.match(await askFromHost("n2", "10.43.0.100", 80), /^(a1|a2|c1) /);
});

test("a pod reaches itself through its Service", async () => {
  assert.match(await ask("b1", "10.43.0.102", 80), /^b1 /);
});

test("a NodePort answers on every node, and keeps the source where the policy says so", async () => {
  for (const host of lab.hosts) assert.match(await askFromMachine(host.address, 30080), /^(a1|a2|c1) /);
  assert.equal(await askFromMachine(lab.host("n2").address, 30081), `b1 ${lab.machineAddress}`);
  assert.equal(await askFromMachine(lab.host("n1").address, 30081), "");
});

test("a Service without endpoints refuses at once", async () => {
  const started = performance.now();
  assert.equal(await ask("a1", "10.43.0.101", 80), "");
  assert.equal(await askFromHost("n1", "10.43.0.101", 80), "");
  assert.equal(await ask("a1", "10.43.99.99", 80), "");
  assert.ok(performance.now() - started < 1500, "refused, not timed out");
});

test("pods and nodes resolve names at the DNS Service's address, on every node", async () => {
  const question = ["nslookup", "web.default.svc.cluster.local", "10.43.0.10"];
  for (const pod of ["a1", "b1", "c1"]) {
    const { stdout } = await inPod(pod, ["timeout", "5", "busybox", ...question]);
    assert.match(stdout, /10\.43\.0\.100/, stdout);
  }
  const { stdout } = await lab.run("n2", ["timeout", "5", "busybox", ...question]);
  assert.match(stdout, /10\.43\.0\.100/);
});

test("with session affinity a client stays with its endpoint", async () => {
  const seen = new Set<string>();
  for (let attempt = 0; attempt < 12; attempt++) seen.add(await ask("b1", "10.43.0.103", 80));
  assert.equal(seen.size, 1);
});

test("a changed endpoint is followed, and a removed one is gone", async () => {
  await publish({ without: ["a1", "a2"] });
  await eventually(async () => {
    for (let attempt = 0; attempt < 8; attempt++) assert.match(await ask("b1", "10.43.0.100", 80), /^c1 /);
  });
  await publish();
  await eventually(async () => assert.match(await ask("b1", "10.43.0.100", 80), /^a/));
});

test("someone else's flush of all rules is repaired", { timeout: 60_000 }, async () => {
  await lab.must("n2", ["nft", "flush", "ruleset"]);
  await publish({ without: ["a1"] });
  await eventually(async () => assert.match(await ask("b1", "10.43.0.100", 80), /^(a2|c1) /));
  await publish();
});

test("a network policy lets in and out only whom it names, and the node's probes", async () => {
  const onlyFromA1 = {
    podSelector: { matchLabels: { name: "b1" } },
    ingress: [{ from: [{ podSelector: { matchLabels: { name: "a1" } } }], ports: [{ port: "echo" }] }],
  };
  const noWayOut = { podSelector: { matchLabels: { name: "c1" } }, policyTypes: ["Egress"] };
  await publish({ policies: [onlyFromA1, noWayOut] });
  await eventually(async () => assert.equal(await ask("a2", ip("b1"), 8080), ""));
  await eventually(async () => assert.equal(await ask("c1", ip("a1"), 8080), ""));
  assert.match(await ask("a1", ip("b1"), 8080), /^b1 /);
  assert.match(await ask("a1", "10.43.0.102", 80), /^b1 /, "also through its Service");
  assert.match(await ask("b1", "10.43.0.102", 80), /^b1 /, "and itself");
  assert.match(await askFromHost("n2", ip("b1"), 8080), /^b1 /);
  assert.match(await ask("a1", ip("c1"), 8080), /^c1 /, "answers are no new connections");
  const lookUp = ["timeout", "5", "busybox", "nslookup", "web.default.svc.cluster.local", "10.43.0.10"];
  assert.match((await inPod("c1", lookUp)).stdout, /10\.43\.0\.100/);
  await publish();
  await eventually(async () => assert.match(await ask("a2", ip("b1"), 8080), /^b1 /));
});

test("pods reach the world outside of the cluster with their node's address", async () => {
  await lab.spawn("n3", "outside", [node, `${source}/network/echo.ts`, "outside", "9999"], { once: true });
  await eventually(async () =>
    assert.equal(await ask("a1", lab.host("n3").address, 9999), `outside ${lab.host("n1").address}`),
  );
});

test("a node that comes back after a power cut has its network again", async () => {
  await lab.kill("n3");
  await rm(lab.pathOf("n3", "/var/lib/trivet/ready.json"));
  await lab.start("n3");
  await nodeReady("n3");
  await startPod("c1", "n3");
  await publish();
  await eventually(async () => assert.equal(await ask("a1", ip("c1"), 8080), `c1 ${ip("a1")}`));
  await eventually(async () => assert.match(await ask("c1", "10.43.0.102", 80), /^b1 /));
});

test("a removed network leaves no device and no rule", async () => {
  await lab.stop("n1");
  const { stdout } = await lab.run("n1", ["sh", "-c", "nft list tables; ip -br link"]);
  assert.doesNotMatch(stdout, /trivet/);
});

function ip(pod: string): string {
  return pods.get(pod)!.ip;
}

async function nodeReady(name: string): Promise<void> {
  const path = lab.pathOf(name, "/var/lib/trivet/ready.json");
  const ready = () =>
    readFile(path).then(
      () => true,
      () => false,
    );
  if (await waitUntil(ready, 20_000)) return;
  throw new Error(await readFile(`${dir}/logs/${name}-trivet.log`, "utf8"));
}

/** Runs the CNI plugins as containerd would, and the echo program in the pod's namespace. */
async function startPod(name: string, host: string): Promise<void> {
  await lab.must(host, ["ip", "netns", "add", name]);
  const text = await lab.must(host, ["cat", "/etc/cni/net.d/10-trivet.conflist"]);
  const list = JSON.parse(text) as { cniVersion: string; name: string; plugins: object[] };
  let prevResult: { ips: { address: string }[] } | undefined;
  for (const plugin of list.plugins) {
    const input = JSON.stringify({ cniVersion: list.cniVersion, name: list.name, ...plugin, prevResult });
    const type = (plugin as { type: string }).type;
    const env = {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: name,
      CNI_NETNS: `/run/netns/${name}`,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/usr/lib/cni",
    };
    prevResult = JSON.parse(
      await lab.must(host, [`/usr/lib/cni/${type}`], { input, env }),
    ) as typeof prevResult;
  }
  pods.set(name, { name, host, ip: prevResult!.ips[0]!.address.split("/")[0]! });
  await lab.must(host, ["ip", "-n", name, "link", "set", "dev", "lo", "up"]);
  const program = [node, `${source}/network/echo.ts`, name, "8080"];
  await lab.spawn(host, `pod-${name}`, ["nsenter", `--net=/run/netns/${name}`, ...program], { once: true });
  await eventually(async () => assert.match(await askFromHost(host, ip(name), 8080), new RegExp(`^${name}`)));
}

function inPod(pod: string, argv: string[]) {
  const { host } = pods.get(pod)!;
  return lab.run(host, ["nsenter", `--net=/run/netns/${pod}`, ...argv]);
}

function client(address: string, port: number, protocol = "tcp"): string[] {
  if (protocol === "tcp") return ["timeout", "2", "busybox", "nc", address, String(port)];
  return [node, `${source}/network/ask.ts`, address, String(port)];
}

async function ask(pod: string, address: string, port: number, protocol = "tcp"): Promise<string> {
  return (await inPod(pod, client(address, port, protocol))).stdout.trim();
}

async function askFromHost(host: string, address: string, port: number): Promise<string> {
  return (await lab.run(host, client(address, port))).stdout.trim();
}

async function askFromMachine(address: string, port: number): Promise<string> {
  const { execute } = await import("#lab/processes.ts");
  const [command, ...args] = client(address, port) as [string, ...string[]];
  return (await execute(command, args)).stdout.trim();
}

async function eventually(check: () => Promise<void>): Promise<void> {
  let last: unknown;
  const ok = await waitUntil(
    () =>
      check().then(
        () => true,
        (error: unknown) => {
          last = error;
          return false;
        },
      ),
    15_000,
  );
  if (!ok) throw last;
}

/** Gives all nodes the same objects. */
async function publish({ without = [] as string[], policies = [] as object[] } = {}): Promise<void> {
  const objects = {
    "/api/v1/nodes": lab.hosts.map(({ name, address, index }) => ({
      metadata: { name },
      spec: { podCIDR: `10.42.${index}.0/24` },
      status: { addresses: [{ type: "InternalIP", address }] },
    })),
    "/api/v1/pods": [...pods.values()].map((pod) => ({
      metadata: { name: pod.name, namespace: "default", labels: { name: pod.name } },
      spec: {
        nodeName: pod.host,
        containers: [{ name: "echo", ports: [{ name: "echo", containerPort: 8080 }] }],
      },
      status: { phase: "Running", podIP: pod.ip },
    })),
    "/apis/networking.k8s.io/v1/networkpolicies": policies.map((spec, at) => ({
      metadata: { name: `policy-${at}`, namespace: "default" },
      spec,
    })),
    "/api/v1/namespaces": [{ metadata: { name: "default" } }],
    "/api/v1/services": [
      service("web", "10.43.0.100", { type: "NodePort" }, 30080),
      service("empty", "10.43.0.101", {}),
      service("self", "10.43.0.102", { type: "NodePort", externalTrafficPolicy: "Local" }, 30081),
      service("sticky", "10.43.0.103", { sessionAffinity: "ClientIP" }),
    ],
    "/apis/discovery.k8s.io/v1/endpointslices": [
      slice("web", ["a1", "a2", "c1"]),
      slice("self", ["b1"]),
      slice("sticky", ["a1", "a2", "b1", "c1"]),
    ],
  };
  function service(name: string, clusterIP: string, spec: object, nodePort?: number) {
    const ports = ["TCP", "UDP"].map((protocol) => ({
      name: protocol.toLowerCase(),
      protocol,
      port: 80,
      nodePort,
    }));
    return {
      metadata: { name, namespace: "default" },
      spec: { clusterIP, clusterIPs: [clusterIP], ports, ...spec },
    };
  }
  function slice(name: string, names: string[]) {
    const present = names
      .filter((pod) => pods.has(pod) && !without.includes(pod))
      .map((pod) => pods.get(pod)!);
    return {
      metadata: { name, namespace: "default", labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: ["TCP", "UDP"].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: 8080 })),
      endpoints: present.map((pod) => ({
        addresses: [pod.ip],
        nodeName: pod.host,
        conditions: { ready: true },
      })),
    };
  }
  for (const { name } of lab.hosts) {
    const path = lab.pathOf(name, "/var/lib/trivet/objects.json");
    await mkdir(lab.pathOf(name, "/var/lib/trivet"), { recursive: true });
    await writeFile(`${path}.new`, JSON.stringify(objects));
    await rename(`${path}.new`, path);
  }
}
