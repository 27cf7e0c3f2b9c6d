/**
 * Services to nftables rules: a function from objects to a Ruleset, without IO. One lookup in a verdict
 * map finds the chain of the service port, whose single rule picks an endpoint; so a packet's cost does
 * not grow with the number of Services, and a changed endpoint touches one chain.
 *
 * Addresses: nat/prerouting and nat/output rewrite the destination. What no rule rewrote, though it was
 * meant for a Service, is refused in the filter hooks behind them. nat/postrouting hides the source where
 * the answer would otherwise not come back through this node.
 */
import { emptyRuleset } from "./ruleset.ts";
import type { Chain, Ruleset } from "./ruleset.ts";
import { servicePorts } from "./service-port.ts";
import type { NodeView, ServiceEndpoint, ServicePort } from "./service-port.ts";
import type { EndpointSlice, Service } from "./objects.ts";

export interface ProxyNode extends NodeView {
  /** Pod addresses of the whole cluster. */
  clusterCidr: string;
  serviceCidr: string;
  /** Service addresses that this node itself answers (the DNS server listens on its Service's address): never rewritten. */
  ownServiceIPs: readonly string[];
}

export const serviceTable = "ip trivet-services";

/** Set on packets whose source is to be hidden; cleared in postrouting. The bit is kube-proxy's. */
const masqueradeMark = "0x4000";
const setMark = `meta mark set meta mark or ${masqueradeMark}`;

export function compileRules(
  services: readonly Service[],
  slices: readonly EndpointSlice[],
  node: ProxyNode,
): Ruleset {
  return compileServicePorts(servicePorts(services, slices, node), node);
}

/** Sorted service ports to rules. */
export function compileServicePorts(ports: readonly ServicePort[], node: ProxyNode): Ruleset {
  const ruleset = skeleton(node);
  for (const port of ports) {
    if (!node.ownServiceIPs.includes(port.clusterIP)) compilePort(ruleset, port, node);
  }
  return ruleset;
}

function skeleton(node: ProxyNode): Ruleset {
  const ruleset = emptyRuleset(serviceTable);
  const address = "type ipv4_addr . inet_proto . inet_service : verdict;";
  const nodePort = "type inet_proto . inet_service : verdict;";
  const collection = (name: string, type: "set" | "map", declaration: string) =>
    ruleset.collections.set(name, { type, declaration, elements: new Map() });
  collection("service-ips", "map", address);
  collection("node-ports", "map", nodePort);
  collection("refused-ips", "map", address);
  collection("refused-node-ports", "map", nodePort);
  collection("guarded-ips", "map", address);
  collection("hairpins", "set", "type ipv4_addr . ipv4_addr;");

  const toNodePort = "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap";
  const chains: Record<string, Chain> = {
    refuse: { rules: ["meta l4proto tcp reject with tcp reset", "reject with icmp port-unreachable"] },
    discard: { rules: ["drop"] },
    services: {
      rules: [
        `ip daddr ${node.serviceCidr} ip saddr != ${node.clusterCidr} ${setMark}`,
        "ip daddr . meta l4proto . th dport vmap @service-ips",
        `${toNodePort} @node-ports`,
      ],
    },
    refusals: {
      rules: [
        "ip daddr . meta l4proto . th dport vmap @refused-ips",
        `ip daddr ${node.serviceCidr} fib daddr type != local goto refuse`,
      ],
    },
    "nat-prerouting": {
      hook: "type nat hook prerouting priority -100; policy accept;",
      rules: ["jump services"],
    },
    "nat-output": { hook: "type nat hook output priority -100; policy accept;", rules: ["jump services"] },
    "nat-postrouting": {
      hook: "type nat hook postrouting priority 100; policy accept;",
      rules: [
        `meta mark & ${masqueradeMark} == ${masqueradeMark} meta mark set meta mark xor ${masqueradeMark} masquerade fully-random`,
        "ct status dnat ip saddr . ip daddr @hairpins masquerade fully-random",
        `ip saddr ${node.clusterCidr} ip daddr != { ${node.clusterCidr}, 224.0.0.0/4 } masquerade fully-random`,
      ],
    },
    "guard-prerouting": {
      hook: "type filter hook prerouting priority -110; policy accept;",
      rules: ["ct state new ip daddr . meta l4proto . th dport vmap @guarded-ips"],
    },
    "filter-input": {
      hook: "type filter hook input priority 0; policy accept;",
      rules: ["ct state new jump refusals", `ct state new ${toNodePort} @refused-node-ports`],
    },
    "filter-forward": {
      hook: "type filter hook forward priority 0; policy accept;",
      rules: ["ct state new jump refusals"],
    },
    "filter-output": {
      hook: "type filter hook output priority 0; policy accept;",
      rules: ["ct state new jump refusals", `ct state new ${toNodePort} @refused-node-ports`],
    },
  };
  for (const [name, chain] of Object.entries(chains)) ruleset.chains.set(name, chain);
  return ruleset;
}

function compilePort(ruleset: Ruleset, port: ServicePort, node: ProxyNode): void {
  const put = (collection: string, key: string, value: string) =>
    ruleset.collections.get(collection)!.elements.set(key, value);
  const external = [...port.externalIPs, ...port.loadBalancerIPs];
  const key = (ip: string) => `${ip} . ${port.protocol} . ${port.port}`;
  const nodePortKey = port.nodePort === undefined ? undefined : `${port.protocol} . ${port.nodePort}`;

  const inside = port.internalLocal
    ? pickChain(ruleset, port, "local", port.localEndpoints)
    : pickChain(ruleset, port, "service", port.endpoints);
  if (inside !== undefined) put("service-ips", key(port.clusterIP), `goto ${inside}`);
  else put("refused-ips", key(port.clusterIP), port.endpoints.length > 0 ? "goto discard" : "goto refuse");

  if (external.length > 0 || nodePortKey !== undefined) {
    const outside = externalChain(ruleset, port, node);
    const refusal = refusalOutside(port);
    for (const ip of external) {
      if (outside !== undefined) put("service-ips", key(ip), `goto ${outside}`);
      if (refusal !== undefined) put("refused-ips", key(ip), refusal);
    }
    if (nodePortKey !== undefined) {
      if (outside !== undefined) put("node-ports", nodePortKey, `goto ${outside}`);
      if (refusal !== undefined) put("refused-node-ports", nodePortKey, refusal);
    }
  }
  if (port.sourceRanges.length > 0) {
    const guard = `guard/${port.id}`;
    const allowed = port.sourceRanges.map((range) => `ip saddr ${range} return`);
    ruleset.chains.set(guard, { rules: [...allowed, "drop"] });
    for (const ip of port.loadBalancerIPs) put("guarded-ips", key(ip), `goto ${guard}`);
  }
  for (const endpoint of [...port.endpoints, ...port.localEndpoints]) {
    if (endpoint.local) put("hairpins", `${endpoint.ip} . ${endpoint.ip}`, "");
  }
}

/** What becomes of outside traffic that no endpoint takes: silence if endpoints elsewhere may get it from a balancer. */
function refusalOutside(port: ServicePort): string | undefined {
  if (port.endpoints.length === 0 && port.localEndpoints.length === 0) return "goto refuse";
  return port.externalLocal && port.localEndpoints.length === 0 ? "goto discard" : undefined;
}

/**
 * Policy Cluster: any endpoint, the source hidden. Policy Local: endpoints here, the source kept; but the
 * cluster's own pods and this node's own processes are taken anywhere.
 */
function externalChain(ruleset: Ruleset, port: ServicePort, node: ProxyNode): string | undefined {
  const anywhere = pickChain(ruleset, port, "service", port.endpoints);
  if (anywhere === undefined && port.localEndpoints.length === 0) return undefined;
  const name = `external/${port.id}`;
  if (!port.externalLocal) {
    ruleset.chains.set(name, { rules: [`${setMark} goto ${anywhere}`] });
    return name;
  }
  const here = pickChain(ruleset, port, "local", port.localEndpoints);
  const rules: string[] = [];
  if (anywhere !== undefined) {
    rules.push(`ip saddr ${node.clusterCidr} goto ${anywhere}`);
    rules.push(`fib saddr type local ${setMark} goto ${anywhere}`);
  }
  if (here !== undefined) rules.push(`goto ${here}`);
  ruleset.chains.set(name, { rules });
  return name;
}

/** The chain that sends a new connection to one of the endpoints, made once per group. Undefined for none. */
function pickChain(
  ruleset: Ruleset,
  port: ServicePort,
  group: "service" | "local",
  endpoints: ServiceEndpoint[],
): string | undefined {
  if (endpoints.length === 0) return undefined;
  const name = `${group}/${port.id}`;
  if (ruleset.chains.has(name)) return name;
  const rules =
    port.affinitySeconds === undefined
      ? [pickAtRandom(port, endpoints)]
      : pickByAffinity(ruleset, port, port.affinitySeconds, endpoints);
  ruleset.chains.set(name, { rules });
  return name;
}

function pickAtRandom(port: ServicePort, endpoints: ServiceEndpoint[]): string {
  const targets = endpoints.map((endpoint, index) => `${index} : ${endpoint.ip} . ${endpoint.port}`);
  return `meta l4proto ${port.protocol} dnat ip to numgen random mod ${targets.length} map { ${targets.join(", ")} }`;
}

/** A client that came within the timeout goes where it went before: each endpoint remembers its clients. */
function pickByAffinity(
  ruleset: Ruleset,
  port: ServicePort,
  timeoutSeconds: number,
  endpoints: ServiceEndpoint[],
): string[] {
  const names = endpoints.map(({ ip, port: target }) => `${port.id}/${ip}/${target}`);
  endpoints.forEach((endpoint, index) => {
    // The timeout is part of the name: a set's declaration can't change.
    const clients = `clients/${names[index]}/${timeoutSeconds}`;
    ruleset.collections.set(clients, {
      type: "set",
      declaration: `type ipv4_addr; flags dynamic,timeout; timeout ${timeoutSeconds}s;`,
      elements: new Map(),
    });
    ruleset.chains.set(`endpoint/${names[index]}`, {
      rules: [
        `update @${clients} { ip saddr }`,
        `meta l4proto ${port.protocol} dnat to ${endpoint.ip}:${endpoint.port}`,
      ],
    });
  });
  const fresh = names.map((name, index) => `${index} : goto endpoint/${name}`);
  return [
    ...names.map((name) => `ip saddr @clients/${name}/${timeoutSeconds} goto endpoint/${name}`),
    `numgen random mod ${names.length} vmap { ${fresh.join(", ")} }`,
  ];
}
