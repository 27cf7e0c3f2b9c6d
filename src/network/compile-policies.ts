/**
 * NetworkPolicies to nftables rules: a function from objects to a Ruleset, without IO. A new connection of
 * a pod of this node passes the egress chains of the policies that select it, then the ingress chains; a
 * pod that no policy selects passes freely. Which pods a selector means stands in sets, so that pods which
 * come and go change elements, not rules.
 *
 * Always free, as in other implementations: what belongs to a connection that was let through, a node's
 * own traffic to its pods (probes), a pod to itself, and DNS at this node's own Service addresses.
 */
import { matchesLabelSelector } from "#kinds/label-selector.ts";
import type { Namespace, NetworkPolicy, Pod } from "./objects.ts";
import { protocolOf } from "./objects.ts";
import { emptyRuleset } from "./ruleset.ts";
import type { Ruleset } from "./ruleset.ts";

export interface PolicyNode {
  name: string;
  /** Service addresses that this node answers itself. */
  ownServiceIPs: readonly string[];
}

export const policyTable = "ip trivet-policies";

type Direction = "ingress" | "egress";
type PolicySpec = NonNullable<NetworkPolicy["spec"]>;
type Peer = NonNullable<NonNullable<PolicySpec["ingress"]>[number]["from"]>[number];
type PolicyPort = NonNullable<NonNullable<PolicySpec["ingress"]>[number]["ports"]>[number];

interface Rule {
  peers: Peer[];
  ports: PolicyPort[];
}

interface View {
  /** With an address of their own, on any node, by address. */
  pods: Pod[];
  namespaces: ReadonlyMap<string, Namespace>;
}

export function compilePolicies(
  policies: readonly NetworkPolicy[],
  pods: readonly Pod[],
  namespaces: readonly Namespace[],
  node: PolicyNode,
): Ruleset {
  const view: View = {
    pods: pods.filter(hasOwnAddress).sort((a, b) => (a.status!.podIP! < b.status!.podIP! ? -1 : 1)),
    namespaces: new Map(namespaces.map((namespace) => [namespace.metadata.name!, namespace])),
  };
  const local = view.pods.filter((pod) => pod.spec?.nodeName === node.name);
  const ruleset = skeleton(node);
  const sorted = policies.toSorted((a, b) => (policyName(a) < policyName(b) ? -1 : 1));
  for (const direction of ["egress", "ingress"] as const) {
    for (const policy of sorted) {
      if (!directionsOf(policy).includes(direction)) continue;
      const selected = local.filter((pod) => selects(policy, pod));
      if (selected.length === 0) continue;
      const chain = policyChain(ruleset, policy, direction, selected, view);
      for (const pod of selected) isolate(ruleset, pod.status!.podIP!, direction, chain);
    }
    for (const [name, { rules }] of ruleset.chains)
      if (name.startsWith(`${direction}-pod/`)) rules.push("drop");
  }
  return ruleset;
}

function skeleton(node: PolicyNode): Ruleset {
  const ruleset = emptyRuleset(policyTable);
  for (const direction of ["egress", "ingress"])
    ruleset.collections.set(`${direction}-pods`, {
      type: "map",
      declaration: "type ipv4_addr : verdict;",
      elements: new Map(),
    });
  ruleset.collections.set("selves", {
    type: "set",
    declaration: "type ipv4_addr . ipv4_addr;",
    elements: new Map(),
  });
  const free = ["ct state established,related accept", "ip saddr . ip daddr @selves accept"];
  const own = node.ownServiceIPs.map((ip) => `ip daddr ${ip} accept`);
  // Two chains at one hook: what the first accepts the second still sees.
  const chain = (hook: string, priority: number, rules: string[]) => ({
    hook: `type filter hook ${hook} priority ${priority}; policy accept;`,
    rules: [...free, ...rules],
  });
  ruleset.chains.set("forward-egress", chain("forward", -20, ["ip saddr vmap @egress-pods"]));
  ruleset.chains.set("forward-ingress", chain("forward", -10, ["ip daddr vmap @ingress-pods"]));
  ruleset.chains.set("input-egress", chain("input", -20, [...own, "ip saddr vmap @egress-pods"]));
  return ruleset;
}

/** The pod may only do what the chains of its policies accept. */
function isolate(ruleset: Ruleset, podIP: string, direction: Direction, policyChainName: string): void {
  const name = `${direction}-pod/${podIP}`;
  const chain = ruleset.chains.get(name) ?? { rules: [] };
  chain.rules.push(`jump ${policyChainName}`);
  ruleset.chains.set(name, chain);
  ruleset.collections.get(`${direction}-pods`)!.elements.set(podIP, `goto ${name}`);
  ruleset.collections.get("selves")!.elements.set(`${podIP} . ${podIP}`, "");
}

function policyChain(
  ruleset: Ruleset,
  policy: NetworkPolicy,
  direction: Direction,
  selected: Pod[],
  view: View,
): string {
  const name = `${direction}/${policyName(policy)}`;
  const rules: string[] = [];
  rulesOf(policy, direction).forEach((rule, index) => {
    const peers =
      rule.peers.length === 0
        ? [""]
        : rule.peers.map((peer, at) =>
            matchPeer(ruleset, policy, direction, peer, `${name}/${index}/${at}`, view),
          );
    const targets = direction === "ingress" ? selected : view.pods;
    const ports =
      rule.ports.length === 0 ? [""] : matchPorts(ruleset, rule.ports, targets, `${name}/${index}`);
    for (const peer of peers)
      for (const port of ports) rules.push([peer, port, "accept"].filter((part) => part !== "").join(" "));
  });
  ruleset.chains.set(name, { rules });
  return name;
}

function matchPeer(
  ruleset: Ruleset,
  policy: NetworkPolicy,
  direction: Direction,
  peer: Peer,
  id: string,
  view: View,
): string {
  const address = direction === "ingress" ? "ip saddr" : "ip daddr";
  if (peer.ipBlock !== undefined) {
    const { cidr, except = [] } = peer.ipBlock;
    // One match each: in a set they must not overlap.
    const excluded = except.map((part) => ` ${address} != ${part}`).join("");
    // An IPv6 block means no IPv4 address.
    return cidr.includes(":") ? `${address} 0.0.0.0` : `${address} ${cidr}${excluded}`;
  }
  const elements = new Map<string, string>();
  for (const pod of view.pods) {
    const namespace = pod.metadata.namespace!;
    const namespaceFits =
      peer.namespaceSelector === undefined
        ? namespace === policy.metadata.namespace
        : matchesLabelSelector(peer.namespaceSelector, view.namespaces.get(namespace)?.metadata.labels ?? {});
    const podFits =
      peer.podSelector === undefined || matchesLabelSelector(peer.podSelector, pod.metadata.labels ?? {});
    if (namespaceFits && podFits) elements.set(pod.status!.podIP!, "");
  }
  ruleset.collections.set(`peers/${id}`, { type: "set", declaration: "type ipv4_addr;", elements });
  return `${address} @peers/${id}`;
}

/** Any of these matches will do. Names are looked up in the pods that are reached. */
function matchPorts(ruleset: Ruleset, ports: PolicyPort[], targets: Pod[], id: string): string[] {
  const matches: string[] = [];
  const named = new Map<string, string>();
  let hasNamed = false;
  for (const { protocol: written, port, endPort } of ports) {
    const protocol = protocolOf(written);
    if (port === undefined) matches.push(`meta l4proto ${protocol}`);
    else if (typeof port === "number") {
      const range = endPort === undefined || endPort === port ? String(port) : `${port}-${endPort}`;
      matches.push(`${protocol} dport ${range}`);
    } else {
      hasNamed = true;
      for (const [ip, number] of numbersOf(port, protocol, targets))
        named.set(`${ip} . ${protocol} . ${number}`, "");
    }
  }
  if (hasNamed) {
    ruleset.collections.set(`ports/${id}`, {
      type: "set",
      declaration: "type ipv4_addr . inet_proto . inet_service;",
      elements: named,
    });
    matches.push(`ip daddr . meta l4proto . th dport @ports/${id}`);
  }
  return matches;
}

function numbersOf(portName: string, protocol: string, pods: Pod[]): [ip: string, port: number][] {
  const found: [string, number][] = [];
  for (const pod of pods)
    for (const { ports = [] } of pod.spec?.containers ?? [])
      for (const port of ports)
        if (port.name === portName && protocolOf(port.protocol) === protocol)
          found.push([pod.status!.podIP!, port.containerPort]);
  return found;
}

function rulesOf(policy: NetworkPolicy, direction: Direction): Rule[] {
  const { ingress = [], egress = [] } = policy.spec ?? {};
  return direction === "ingress"
    ? ingress.map(({ from = [], ports = [] }) => ({ peers: from, ports }))
    : egress.map(({ to = [], ports = [] }) => ({ peers: to, ports }));
}

function directionsOf({ spec }: NetworkPolicy): Direction[] {
  const types = spec?.policyTypes ?? (spec?.egress === undefined ? ["Ingress"] : ["Ingress", "Egress"]);
  return types.map((type) => type.toLowerCase() as Direction);
}

function selects(policy: NetworkPolicy, pod: Pod): boolean {
  return (
    pod.metadata.namespace === policy.metadata.namespace &&
    matchesLabelSelector(policy.spec?.podSelector ?? {}, pod.metadata.labels ?? {})
  );
}

/** A finished pod's address may be another's by now; a host-network pod's is its node's. */
function hasOwnAddress({ spec, status }: Pod): boolean {
  const finished = status?.phase === "Succeeded" || status?.phase === "Failed";
  return !finished && !spec?.hostNetwork && (status?.podIP?.includes(".") ?? false);
}

/** Unique, and short enough for the name of a chain (255 bytes with what stands around it). */
function policyName({ metadata }: NetworkPolicy): string {
  const { namespace, name = "", uid = "" } = metadata;
  return `${namespace}/${name.length <= 120 ? name : `${name.slice(0, 80)}.${uid}`}`;
}
