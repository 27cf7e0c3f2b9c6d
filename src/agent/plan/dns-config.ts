/** A pod's resolver configuration and its /etc/hosts, from its dnsPolicy, dnsConfig and hostAliases. */
import type { Pod } from "../types.ts";

export interface DnsConfig {
  servers: string[];
  searches: string[];
  options: string[];
}

export interface ClusterDns {
  servers: readonly string[];
  domain: string;
}

export function podDns(pod: Pod, cluster: ClusterDns, host: DnsConfig): DnsConfig {
  const config = basis(pod, cluster, host);
  const own = pod.spec.dnsConfig;
  if (!own) return config;
  const unique = (list: string[]) => [...new Set(list)];
  const options = new Map<string, string>();
  for (const option of config.options) options.set(option.split(":")[0]!, option);
  for (const { name, value } of own.options ?? [])
    options.set(name ?? "", value === undefined || value === "" ? (name ?? "") : `${name}:${value}`);
  return {
    servers: unique([...config.servers, ...(own.nameservers ?? [])]),
    searches: unique([...config.searches, ...(own.searches ?? [])]),
    options: [...options.values()],
  };
}

function basis(pod: Pod, cluster: ClusterDns, host: DnsConfig): DnsConfig {
  const policy = pod.spec.dnsPolicy ?? "ClusterFirst";
  const copy = { servers: [...host.servers], searches: [...host.searches], options: [...host.options] };
  if (policy === "None") return { servers: [], searches: [], options: [] };
  const fromHost = policy === "Default" || (policy === "ClusterFirst" && pod.spec.hostNetwork === true);
  if (fromHost || cluster.servers.length === 0) return copy;
  const own = [`${pod.metadata.namespace}.svc.${cluster.domain}`, `svc.${cluster.domain}`, cluster.domain];
  return {
    servers: [...cluster.servers],
    searches: [...new Set([...own, ...host.searches])],
    options: ["ndots:5"],
  };
}

/** Reads the parts of a resolv.conf. */
export function parseResolvConf(text: string): DnsConfig {
  const config: DnsConfig = { servers: [], searches: [], options: [] };
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === "nameserver" && values[0]) config.servers.push(values[0]);
    if (keyword === "search") config.searches = values;
    if (keyword === "options") config.options = values;
  }
  return config;
}

/** The hostname inside of the pod: its own, or its name cut to 63 characters. */
export function podHostname(pod: Pod): string {
  const name = pod.spec.hostname || (pod.metadata.name ?? "");
  return name.length > 63 ? name.slice(0, 63).replace(/[-.]+$/, "") : name;
}

export function podDomain(pod: Pod, clusterDomain: string): string {
  const { subdomain } = pod.spec;
  return subdomain ? `${subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}` : "";
}

/** The text of /etc/hosts. `hostFile`: the node's own, for a host-network pod. */
export function hostsFile(
  pod: Pod,
  podIps: readonly string[],
  clusterDomain: string,
  hostFile: string,
): string {
  const aliases = (pod.spec.hostAliases ?? []).map(
    (alias) => `${alias.ip}\t${(alias.hostnames ?? []).join("\t")}\n`,
  );
  const added = aliases.length > 0 ? `\n# Entries added by HostAliases.\n${aliases.join("")}` : "";
  if (pod.spec.hostNetwork) return `# Kubernetes-managed hosts file (host network).\n${hostFile}${added}`;
  const lines = [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
  ];
  const hostname = podHostname(pod);
  const domain = podDomain(pod, clusterDomain);
  for (const ip of podIps)
    lines.push(domain === "" ? `${ip}\t${hostname}` : `${ip}\t${hostname}.${domain}\t${hostname}`);
  return `${lines.join("\n")}\n${added}`;
}
