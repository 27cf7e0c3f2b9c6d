/**
 * The cluster's zone: from a question to records, by Kubernetes's DNS-Based Service Discovery, schema
 * version 1.1.0. Pure: the objects are looked up in a view; nothing is sent or remembered here.
 */
import type { Answer, Question, SrvAnswer, StringAnswer } from "dns-packet";
import type { KubeObject } from "#kinds/object.ts";
import type * as core from "kubernetes-types/core/v1.d.ts";
import type * as discovery from "kubernetes-types/discovery/v1.d.ts";

export type Service = KubeObject & core.Service;
export type EndpointSlice = KubeObject & discovery.EndpointSlice;

/** What the zone is made of. */
export interface ZoneView {
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, service: string): readonly EndpointSlice[];
  namespaceExists(namespace: string): boolean;
  servicesByAddress(ip: string): readonly Service[];
  slicesByAddress(ip: string): readonly EndpointSlice[];
}

export interface ZoneOptions {
  /** Without dots at its ends, such as `cluster.local`. */
  clusterDomain: string;
  dnsServiceIP: string;
  ttlSeconds: number;
}

export type ZoneResult =
  /** Not the cluster's business: ask the upstream servers. */
  | { kind: "elsewhere" }
  | { kind: "unknown-name" }
  /** `answers` may be empty: the name exists, but has no such record. */
  | { kind: "records"; answers: Answer[]; additionals?: Answer[] }
  /** The name stands for another one, outside of the zone. */
  | { kind: "alias"; answer: StringAnswer };

const unknownName: ZoneResult = { kind: "unknown-name" };
const noRecords: ZoneResult = { kind: "records", answers: [] };
const schemaVersion = "1.1.0";

export function resolve(question: Question, view: ZoneView, options: ZoneOptions): ZoneResult {
  const name = question.name.toLowerCase().replace(/\.$/, "");
  const reverse = addressOfReverseName(name);
  if (reverse !== undefined) return resolveReverse(question, reverse, view, options);
  const { clusterDomain } = options;
  if (name === clusterDomain) return resolveApex(question, options);
  if (!name.endsWith(`.${clusterDomain}`)) return { kind: "elsewhere" };

  const labels = name.slice(0, -clusterDomain.length - 1).split(".");
  const root = labels.pop();
  if (root === "dns-version" && labels.length === 0)
    return question.type === "TXT" ? records([record(question, options, schemaVersion)]) : noRecords;
  if (root === "dns" && labels.join() === "ns") return addresses(question, options, [options.dnsServiceIP]);
  if (root === "svc") return resolveService(question, labels, view, options);
  if (root === "pod") return resolvePod(question, labels, view, options);
  return unknownName;
}

/** The record that says how long a missing name or record may be remembered. */
export function startOfAuthority({ clusterDomain, ttlSeconds }: ZoneOptions): Answer {
  return {
    type: "SOA",
    name: clusterDomain,
    ttl: ttlSeconds,
    data: {
      mname: `ns.dns.${clusterDomain}`,
      rname: `hostmaster.${clusterDomain}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86_400,
      minimum: ttlSeconds,
    },
  };
}

function resolveApex(question: Question, options: ZoneOptions): ZoneResult {
  if (question.type === "SOA") return records([startOfAuthority(options)]);
  if (question.type === "NS") return records([record(question, options, `ns.dns.${options.clusterDomain}`)]);
  return noRecords;
}

/** `labels` is what stands before `svc`: [[_port, _protocol | endpoint], service], namespace. */
function resolveService(
  question: Question,
  labels: string[],
  view: ZoneView,
  options: ZoneOptions,
): ZoneResult {
  const namespace = labels.pop();
  if (namespace === undefined) return noRecords;
  const serviceName = labels.pop();
  if (serviceName === undefined) return view.namespaceExists(namespace) ? noRecords : unknownName;
  const service = view.service(namespace, serviceName);
  if (service === undefined) return unknownName;

  if (service.spec?.type === "ExternalName") {
    if (labels.length > 0) return unknownName;
    return { kind: "alias", answer: alias(question, options, service.spec.externalName ?? "") };
  }
  if (labels.length === 2) return resolvePort(question, labels, service, view, options);
  if (labels.length > 2) return unknownName;

  const slices = view.slices(namespace, serviceName);
  const [endpointName] = labels;
  if (endpointName !== undefined) {
    const named = endpointsOf(slices).filter((endpoint) => endpoint.label === endpointName);
    return named.length === 0
      ? unknownName
      : addresses(
          question,
          options,
          named.map(({ ip }) => ip),
        );
  }
  if (question.type === "SRV") {
    const found = portRecords(question.name, service, slices, options, () => true);
    return found.answers.length === 0 && isHeadless(service) ? unknownName : { kind: "records", ...found };
  }
  if (!isHeadless(service)) return addresses(question, options, clusterIPs(service));
  const ips = [...new Set(endpointsOf(slices).map(({ ip }) => ip))];
  return ips.length === 0 ? unknownName : addresses(question, options, ips);
}

function resolvePort(
  question: Question,
  [port, protocol]: string[],
  service: Service,
  view: ZoneView,
  options: ZoneOptions,
): ZoneResult {
  if (!port!.startsWith("_") || !protocol!.startsWith("_")) return unknownName;
  const { namespace, name } = service.metadata;
  const found = portRecords(
    question.name,
    service,
    view.slices(namespace!, name!),
    options,
    (portName, portProtocol) =>
      portName.toLowerCase() === port!.slice(1) && portProtocol.toLowerCase() === protocol!.slice(1),
  );
  if (found.answers.length === 0) return unknownName;
  return question.type === "SRV" ? { kind: "records", ...found } : noRecords;
}

/** SRV records of a Service's ports, and the addresses of their targets. */
function portRecords(
  owner: string,
  service: Service,
  slices: readonly EndpointSlice[],
  options: ZoneOptions,
  matches: (port: string, protocol: string) => boolean,
): { answers: SrvAnswer[]; additionals: Answer[] } {
  const base = nameOf(service, options);
  const answers = new Map<string, SrvAnswer>();
  const additionals = new Map<string, Answer>();
  const add = (port: number, target: string, ips: string[]) => {
    answers.set(`${target}:${port}`, {
      type: "SRV",
      name: owner,
      ttl: options.ttlSeconds,
      data: { priority: 0, weight: 100, port, target },
    });
    for (const ip of ips)
      additionals.set(`${target} ${ip}`, {
        type: ip.includes(":") ? "AAAA" : "A",
        name: target,
        ttl: options.ttlSeconds,
        data: ip,
      });
  };
  if (!isHeadless(service)) {
    for (const { name = "", protocol = "TCP", port } of service.spec?.ports ?? [])
      if (matches(name, protocol)) add(port, base, clusterIPs(service));
  } else {
    for (const slice of slices) {
      for (const { name, protocol, port } of slice.ports ?? []) {
        if (port === undefined || !matches(name ?? "", protocol ?? "TCP")) continue;
        for (const { label, ip } of endpointsOf([slice])) add(port, `${label}.${base}`, [ip]);
      }
    }
  }
  return { answers: [...answers.values()], additionals: [...additionals.values()] };
}

/** `a-b-c-d.namespace.pod`: the address is in the name. Any address in an existing namespace is answered. */
function resolvePod(question: Question, labels: string[], view: ZoneView, options: ZoneOptions): ZoneResult {
  const namespace = labels.pop();
  if (namespace === undefined) return noRecords;
  if (!view.namespaceExists(namespace)) return unknownName;
  const dashed = labels.pop();
  if (dashed === undefined) return noRecords;
  if (labels.length > 0) return unknownName;
  const ip = /^\d+(-\d+){3}$/.test(dashed) ? dashed.replaceAll("-", ".") : dashed.replaceAll("-", ":");
  return isAddress(ip) ? addresses(question, options, [ip]) : unknownName;
}

function resolveReverse(question: Question, ip: string, view: ZoneView, options: ZoneOptions): ZoneResult {
  const names = view.servicesByAddress(ip).map((service) => nameOf(service, options));
  for (const slice of names.length > 0 ? [] : view.slicesByAddress(ip)) {
    const { namespace, labels } = slice.metadata;
    const service = view.service(namespace!, labels?.["kubernetes.io/service-name"] ?? "");
    if (service === undefined || !isHeadless(service)) continue;
    for (const endpoint of endpointsOf([slice]))
      if (endpoint.ip === ip) names.push(`${endpoint.label}.${nameOf(service, options)}`);
  }
  if (names.length === 0) return { kind: "elsewhere" };
  if (question.type !== "PTR") return noRecords;
  return records([...new Set(names)].map((name) => record(question, options, name)));
}

interface NamedEndpoint {
  /** Its host name, or its address with dashes. */
  label: string;
  ip: string;
}

function endpointsOf(slices: readonly EndpointSlice[]): NamedEndpoint[] {
  const found: NamedEndpoint[] = [];
  for (const slice of slices) {
    if (slice.addressType === "FQDN") continue;
    for (const { addresses: ips, conditions, hostname } of slice.endpoints ?? []) {
      if (conditions?.ready === false) continue;
      for (const ip of ips) found.push({ label: hostname ?? ip.replaceAll(/[.:]/g, "-"), ip });
    }
  }
  return found;
}

function isHeadless(service: Service): boolean {
  return service.spec?.clusterIP === "None";
}

function clusterIPs(service: Service): string[] {
  const { clusterIP, clusterIPs: all } = service.spec ?? {};
  return all ?? (clusterIP ? [clusterIP] : []);
}

function nameOf(service: Service, { clusterDomain }: ZoneOptions): string {
  return `${service.metadata.name}.${service.metadata.namespace}.svc.${clusterDomain}`;
}

function records(answers: Answer[]): ZoneResult {
  return { kind: "records", answers };
}

/** Of these, the ones that the question's type asks for. */
function addresses(question: Question, options: ZoneOptions, ips: string[]): ZoneResult {
  const wanted = question.type as string;
  const fitting = ips.filter((ip) => wanted === "ANY" || wanted === (ip.includes(":") ? "AAAA" : "A"));
  return records(
    fitting.map((ip) => ({
      type: ip.includes(":") ? "AAAA" : "A",
      name: question.name,
      ttl: options.ttlSeconds,
      data: ip,
    })),
  );
}

/** A record of the question's own name and type. */
function record(question: Question, { ttlSeconds }: ZoneOptions, data: string): Answer {
  return { type: question.type, name: question.name, ttl: ttlSeconds, data } as Answer;
}

function alias(question: Question, { ttlSeconds }: ZoneOptions, target: string): StringAnswer {
  return { type: "CNAME", name: question.name, ttl: ttlSeconds, data: target.replace(/\.$/, "") };
}

function addressOfReverseName(name: string): string | undefined {
  if (name.endsWith(".in-addr.arpa")) {
    const ip = name.slice(0, -".in-addr.arpa".length).split(".").toReversed().join(".");
    return isAddress(ip) ? ip : undefined;
  }
  if (!name.endsWith(".ip6.arpa")) return undefined;
  const nibbles = name.slice(0, -".ip6.arpa".length).split(".").toReversed().join("");
  return /^[0-9a-f]{32}$/.test(nibbles) ? compressed(nibbles.match(/.{4}/g)!) : undefined;
}

/** The canonical text of an IPv6 address (RFC 5952). */
function compressed(groups: string[]): string {
  const short = groups.map((group) => group.replace(/^0{1,3}/, ""));
  const text = short.join(":");
  const zeros = [...text.matchAll(/(?<![0-9a-f])0(:0)+(?![0-9a-f])/g)].sort(
    (a, b) => b[0].length - a[0].length,
  )[0];
  if (zeros === undefined) return text;
  const before = text.slice(0, zeros.index).replace(/:$/, "");
  const after = text.slice(zeros.index + zeros[0].length).replace(/^:/, "");
  return `${before}::${after}`;
}

function isAddress(ip: string): boolean {
  if (ip.includes(":")) return /^[0-9a-f:]+$/.test(ip) && ip.split(":").length <= 8;
  const bytes = ip.split(".");
  return bytes.length === 4 && bytes.every((byte) => /^\d{1,3}$/.test(byte) && Number(byte) < 256);
}
