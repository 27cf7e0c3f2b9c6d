/** Service (v1). Addresses and node ports are allocated by the API, which fills them in after validation. */
import type { ServiceSpec, ServiceStatus } from "kubernetes-types/core/v1.d.ts";
import { ageColumn, formatLabels, nameColumn, text, wide } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, duplicate, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { goStrings } from "./go-syntax.ts";
import { portErrors } from "./handlers.ts";
import { ipErrors, parseCidr, parseIp } from "./ip.ts";
import { defineKind } from "./kind.ts";
import { validateLabels } from "./metadata.ts";
import {
  dns1035LabelErrors,
  dnsLabelErrors,
  dnsSubdomainErrors,
  nameRule,
  portNumberErrors,
  qualifiedNameErrors,
} from "./names.ts";
import { badCidr } from "./node.ts";
import type { KubeObject } from "./object.ts";
import { nonSpecialIpErrors } from "./special-ip.ts";
import { allVerbs, clearStatus, keepField, proxyVerbs, statusSubresource } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.Service";

interface ServiceObject extends KubeObject {
  spec: ServiceSpec;
  status?: ServiceStatus;
}

const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const policies = ["Cluster", "Local"];
const families = ["IPv4", "IPv6"];
const familyPolicies = ["PreferDualStack", "RequireDualStack", "SingleStack"];

export const service = defineKind<ServiceObject>({
  group: "",
  version: "v1",
  kind: "Service",
  plural: "services",
  singular: "service",
  shortNames: ["svc"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  createOnUpdate: true,
  validateName: nameRule(dns1035LabelErrors),
  applyDefaults: defaultService,
  prepareCreate(object) {
    clearStatus(object, schemaName);
    dropForType(object.spec);
  },
  prepareUpdate(object, old) {
    keepField(object, old, "status");
    patchAllocated(object.spec, old.spec);
    dropForType(object.spec, old.spec);
  },
  validate: ({ spec }) => validateServiceSpec(spec),
  validateUpdate(object, old) {
    const errors: FieldError[] = [];
    const { spec } = object;
    const before = old.spec;
    if (spec.type !== "ExternalName" && before.type !== "ExternalName") {
      const was = before.clusterIPs ?? [];
      const is = spec.clusterIPs ?? [];
      for (const [index, ip] of was.entries())
        if (ip !== "" && is[index] !== undefined && is[index] !== ip)
          errors.push(invalid(`spec.clusterIPs[${index}]`, goStrings(is), "may not change once set"));
    }
    if (
      before.type === "LoadBalancer" &&
      spec.type === "LoadBalancer" &&
      before.loadBalancerClass !== spec.loadBalancerClass
    )
      errors.push(invalid("spec.loadBalancerClass", spec.loadBalancerClass, "may not change once set"));
    return [...errors, ...validateServiceSpec(spec)];
  },
  subresources: {
    proxy: { speaks: { group: "", version: "v1", kind: "ServiceProxyOptions" }, verbs: proxyVerbs },
    status: statusSubresource<ServiceObject>({
      validateUpdate({ spec, status }) {
        const ingress = status?.loadBalancer?.ingress ?? [];
        if (ingress.length > 0 && spec.type !== "LoadBalancer")
          return [
            forbidden("status.loadBalancer.ingress", "may only be used when `spec.type` is 'LoadBalancer'"),
          ];
        return ingress.flatMap((each, index) =>
          balancerAddressErrors(each, `status.loadBalancer.ingress[${index}]`),
        );
      },
    }),
  },
  fieldSelectors: {
    "spec.clusterIP": ({ spec }) => spec.clusterIP ?? "",
    "spec.type": ({ spec }) => spec.type ?? "",
  },
  columns: [
    nameColumn,
    text("Type", "How the service is exposed.", ({ spec }) => spec.type ?? ""),
    text(
      "Cluster-IP",
      "Address inside the cluster.",
      ({ spec }) => spec.clusterIPs?.[0] ?? (spec.clusterIP || "<none>"),
    ),
    text("External-IP", "Address outside the cluster.", externalText),
    text("Port(s)", "Ports, with node ports.", ({ spec }) => {
      const ports = (spec.ports ?? []).map((port) =>
        port.nodePort ? `${port.port}:${port.nodePort}/${port.protocol}` : `${port.port}/${port.protocol}`,
      );
      return ports.length === 0 ? "<none>" : ports.join(",");
    }),
    ageColumn,
    wide("Selector", "Labels that select the pods.", ({ spec }) => formatLabels(spec.selector)),
  ],
  resetFields: ["status"],
});

function externalText({ spec, status }: ServiceObject): string {
  const external = spec.externalIPs ?? [];
  switch (spec.type) {
    case "ExternalName":
      return spec.externalName ?? "";
    case "LoadBalancer": {
      const ingress = (status?.loadBalancer?.ingress ?? []).map((each) => each.ip || each.hostname || "");
      const all = [...new Set(ingress), ...external].filter((each) => each !== "");
      return all.length === 0 ? "<pending>" : all.join(",");
    }
    default:
      return external.length === 0 ? "<none>" : external.join(",");
  }
}

function defaultService({ spec, status }: ServiceObject): void {
  if (spec.type === "LoadBalancer")
    for (const each of (status?.loadBalancer?.ingress ?? []) as BalancerAddress[])
      if (each.ip) each.ipMode ??= "VIP";
  spec.sessionAffinity ||= "None";
  if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
  else if (spec.sessionAffinity === "ClientIP") {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= 10800;
  }
  spec.type ||= "ClusterIP";
  for (const port of spec.ports ?? []) {
    port.protocol ||= "TCP";
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === "")
      port.targetPort = port.port;
  }
  if (isExternal(spec)) spec.externalTrafficPolicy ||= "Cluster";
  if (spec.internalTrafficPolicy === undefined && spec.type !== "ExternalName")
    spec.internalTrafficPolicy = "Cluster";
  if (spec.type === "LoadBalancer") spec.allocateLoadBalancerNodePorts ??= true;
  if (spec.clusterIP && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [spec.clusterIP];
  else if (!spec.clusterIP && spec.clusterIPs?.[0]) spec.clusterIP = spec.clusterIPs[0];
}

/** Reachable from outside: its traffic policy means something. */
function isExternal(spec: ServiceSpec): boolean {
  return (
    spec.type === "NodePort" ||
    spec.type === "LoadBalancer" ||
    (spec.type === "ClusterIP" && (spec.externalIPs ?? []).length > 0)
  );
}

/** What was allocated before stays where the writer does not say otherwise. */
function patchAllocated(spec: ServiceSpec, old: ServiceSpec): void {
  if (spec.type === "ExternalName" || old.type === "ExternalName") return;
  if (!spec.clusterIP && (spec.clusterIPs ?? []).length === 0) {
    if (old.clusterIP) spec.clusterIP = old.clusterIP;
    if (old.clusterIPs !== undefined) spec.clusterIPs = old.clusterIPs;
  } else if (spec.clusterIP && spec.clusterIP !== old.clusterIP && deepEqual(spec.clusterIPs, old.clusterIPs))
    spec.clusterIPs = [spec.clusterIP, ...(old.clusterIPs ?? []).slice(1)];
  if (spec.ipFamilies === undefined && old.ipFamilies !== undefined) spec.ipFamilies = old.ipFamilies;
  if (spec.ipFamilyPolicy === undefined && old.ipFamilyPolicy !== undefined)
    spec.ipFamilyPolicy = old.ipFamilyPolicy;
  if (spec.type !== "ClusterIP" && old.type !== "ClusterIP")
    for (const port of spec.ports ?? []) {
      if (port.nodePort) continue;
      const same = old.ports?.find((each) => each.port === port.port && each.protocol === port.protocol);
      if (same?.nodePort) port.nodePort = same.nodePort;
    }
  if (hasHealthCheckPort(spec) && !spec.healthCheckNodePort && old.healthCheckNodePort)
    spec.healthCheckNodePort = old.healthCheckNodePort;
}

/** A load balancer asks nodes whether they have endpoints only where traffic stays on its node. */
function hasHealthCheckPort(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

/** When the type changes, what the new type has no use for goes, unless the writer changed it. */
function dropForType(spec: ServiceSpec, old?: ServiceSpec): void {
  if (old === undefined) return;
  if (spec.type === "ExternalName" && old.type !== "ExternalName") {
    delete spec.clusterIP;
    delete spec.clusterIPs;
    delete spec.ipFamilies;
    delete spec.ipFamilyPolicy;
  }
  if (old.type !== spec.type && spec.type !== "NodePort" && spec.type !== "LoadBalancer")
    for (const port of spec.ports ?? []) {
      const same = old.ports?.find((each) => each.port === port.port && each.protocol === port.protocol);
      if (same?.nodePort === port.nodePort) delete port.nodePort;
    }
  if (hasHealthCheckPort(old) && !hasHealthCheckPort(spec)) {
    if (spec.healthCheckNodePort === old.healthCheckNodePort) delete spec.healthCheckNodePort;
  }
  if (old.type === "LoadBalancer" && spec.type !== "LoadBalancer") {
    for (const field of ["allocateLoadBalancerNodePorts", "loadBalancerClass"] as const)
      if (spec[field] === old[field]) delete spec[field];
  }
  if (!isExternal(spec) && isExternal(old) && spec.externalTrafficPolicy === old.externalTrafficPolicy)
    delete spec.externalTrafficPolicy;
}

function validateServiceSpec(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const type = spec.type ?? "";
  const ports = spec.ports ?? [];
  const headless = spec.clusterIP === "None";
  if (ports.length === 0 && !headless && type !== "ExternalName") errors.push(required("spec.ports"));
  if (type === "LoadBalancer")
    for (const [index, { port }] of ports.entries())
      if (port === 10250)
        errors.push(
          invalid(
            `spec.ports[${index}]`,
            port,
            "may not expose port 10250 externally since it is used by kubelet",
          ),
        );
  if ((type === "LoadBalancer" || type === "NodePort") && headless)
    errors.push(invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${type} services`));
  if (type === "ExternalName") {
    if ((spec.clusterIPs ?? []).length > 0)
      errors.push(forbidden("spec.clusterIPs", "may not be set for ExternalName services"));
    if ((spec.ipFamilies ?? []).length > 0)
      errors.push(forbidden("spec.ipFamilies", "may not be set for ExternalName services"));
    if (spec.ipFamilyPolicy !== undefined)
      errors.push(forbidden("spec.ipFamilyPolicy", "may not be set for ExternalName services"));
    const name = (spec.externalName ?? "").replace(/\.$/, "");
    if (name === "") errors.push(required("spec.externalName"));
    else errors.push(...dnsSubdomainErrors(name).map((each) => invalid("spec.externalName", name, each)));
  }
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const at = `spec.ports[${index}]`;
    const { name = "", protocol = "" } = port;
    if (name === "") {
      if (ports.length > 1) errors.push(required(`${at}.name`));
    } else {
      errors.push(...dnsLabelErrors(name).map((each) => invalid(`${at}.name`, name, each)));
      if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
      names.add(name);
    }
    errors.push(...portNumberErrors(port.port).map((each) => invalid(`${at}.port`, port.port, each)));
    if (protocol === "") errors.push(required(`${at}.protocol`));
    else if (!["SCTP", "TCP", "UDP"].includes(protocol))
      errors.push(notSupported(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"]));
    errors.push(...portErrors(port.targetPort, `${at}.targetPort`));
    if (port.appProtocol !== undefined)
      errors.push(
        ...qualifiedNameErrors(port.appProtocol).map((each) =>
          invalid(`${at}.appProtocol`, port.appProtocol, each),
        ),
      );
    if (type === "ClusterIP" && port.nodePort)
      errors.push(forbidden(`${at}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
    const key = `${protocol}/${port.port}`;
    if (numbers.has(key))
      errors.push(
        duplicate(at, {
          goSyntax: `core.ServicePort{Name:"", Protocol:${JSON.stringify(protocol)}, AppProtocol:(*string)(nil), Port:${port.port}, TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}`,
        }),
      );
    numbers.add(key);
  }
  errors.push(...repeatedNodePorts(ports), ...validateLabels(spec.selector, "spec.selector"));
  const affinity = spec.sessionAffinity ?? "";
  if (affinity === "") errors.push(required("spec.sessionAffinity"));
  else if (affinity !== "None" && affinity !== "ClientIP")
    errors.push(notSupported("spec.sessionAffinity", affinity, ["ClientIP", "None"]));
  const timeout = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (affinity === "ClientIP" && timeout !== undefined && (timeout <= 0 || timeout > 86400))
    errors.push(
      invalid(
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
        timeout,
        "must be greater than 0 and less than 86400",
      ),
    );
  return [...errors, ...familyErrors(spec), ...exposureErrors(spec, type)];
}

interface BalancerAddress {
  ip?: string;
  hostname?: string;
  ipMode?: string;
}

function balancerAddressErrors({ ip, hostname, ipMode }: BalancerAddress, path: string): FieldError[] {
  const errors = ip ? ipErrors(ip).map((each) => invalid(`${path}.ip`, ip, each)) : [];
  if (ip && ipMode === undefined)
    errors.push(required(`${path}.ipMode`, "must be specified when `ip` is set"));
  else if (!ip && ipMode !== undefined)
    errors.push(forbidden(`${path}.ipMode`, "may not be specified when `ip` is not set"));
  else if (ipMode !== undefined && ipMode !== "Proxy" && ipMode !== "VIP")
    errors.push(notSupported(`${path}.ipMode`, ipMode, ["Proxy", "VIP"]));
  return [...errors, ...(hostname ? balancerNameErrors(hostname, `${path}.hostname`) : [])];
}

/** A load balancer's name, of a Service or an Ingress. */
export function balancerNameErrors(hostname: string, path: string): FieldError[] {
  const errors = dnsSubdomainErrors(hostname).map((each) => invalid(path, hostname, each));
  return parseIp(hostname) === undefined
    ? errors
    : [...errors, invalid(path, hostname, "must be a DNS name, not an IP address")];
}

function repeatedNodePorts(ports: NonNullable<ServiceSpec["ports"]>): FieldError[] {
  const seen = new Set<string>();
  return ports.flatMap(({ protocol, nodePort }, index) => {
    if (!nodePort) return [];
    const key = `${protocol}/${nodePort}`;
    const found = seen.has(key) ? [duplicate(`spec.ports[${index}].nodePort`, nodePort)] : [];
    seen.add(key);
    return found;
  });
}

function familyErrors(spec: ServiceSpec): FieldError[] {
  if (spec.type === "ExternalName") return [];
  const errors: FieldError[] = [];
  const { clusterIP = "", clusterIPs: addresses = [], ipFamilies: given = [], ipFamilyPolicy: policy } = spec;
  const all = goStrings(addresses);
  if (clusterIP === "") {
    if (addresses.length > 0)
      errors.push(invalid("spec.clusterIPs", all, "must be empty when `clusterIP` is not specified"));
  } else if (addresses.length === 0) errors.push(required("spec.clusterIPs"));
  else if (addresses[0] !== clusterIP)
    errors.push(invalid("spec.clusterIPs", all, "first value must match `clusterIP`"));
  for (const [index, family] of given.entries()) {
    const at = `spec.ipFamilies[${index}]`;
    if (!families.includes(family)) errors.push(notSupported(at, family, families));
    if (given.indexOf(family) < index) errors.push(duplicate(at, family));
  }
  if (policy !== undefined && !familyPolicies.includes(policy))
    errors.push(notSupported("spec.ipFamilyPolicy", policy, familyPolicies));
  const wrong = addresses.flatMap((ip, index) => {
    if (index > 0 || ip !== "None")
      return ipErrors(ip).map((each) => invalid(`spec.clusterIPs[${index}]`, ip, each));
    return addresses.length > 1
      ? [invalid("spec.clusterIPs", all, "'None' must be the first and only value")]
      : [];
  });
  errors.push(...wrong);
  if (addresses.length > 2) errors.push(invalid("spec.clusterIPs", all, "may only hold up to 2 values"));
  if (wrong.length > 0) return errors;
  const isIPv4Address = (ip: string): boolean => parseIp(ip)?.family === 4;
  if (addresses.length > 1 && new Set(addresses.map(isIPv4Address)).size < 2)
    errors.push(invalid("spec.clusterIPs", all, "may specify no more than one IP for each IP family"));
  for (const [index, ip] of addresses.slice(0, given.length).entries())
    if (ip !== "None" && isIPv4Address(ip) !== (given[index] === "IPv4"))
      errors.push(
        invalid(
          `spec.clusterIPs[${index}]`,
          ip,
          `expected an ${given[index]} value as indicated by \`ipFamilies[${index}]\``,
        ),
      );
  return errors;
}

function exposureErrors(spec: ServiceSpec, type: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, ip] of (spec.externalIPs ?? []).entries()) {
    const at = `spec.externalIPs[${index}]`;
    const wrong = ipErrors(ip).map((each) => invalid(at, ip, each));
    errors.push(...(wrong.length > 0 ? wrong : nonSpecialIpErrors(ip, at)));
  }
  if (type === "") errors.push(required("spec.type"));
  else if (!types.includes(type)) errors.push(notSupported("spec.type", type, types));
  const onlyBalanced = "may only be used when `type` is 'LoadBalancer'";
  // Upstream writes this field's name with a capital letter.
  const ranges = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0 && type !== "LoadBalancer")
    errors.push(forbidden("spec.LoadBalancerSourceRanges", onlyBalanced));
  else
    for (const [index, range] of ranges.entries())
      if (parseCidr(range.trim()) === undefined)
        errors.push(invalid(`spec.LoadBalancerSourceRanges[${index}]`, range, badCidr));
  if (type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts === undefined)
    errors.push(required("spec.allocateLoadBalancerNodePorts"));
  if (type !== "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== undefined)
    errors.push(forbidden("spec.allocateLoadBalancerNodePorts", onlyBalanced));
  const balancer = spec.loadBalancerClass;
  if (balancer !== undefined) {
    if (type !== "LoadBalancer") errors.push(forbidden("spec.loadBalancerClass", onlyBalanced));
    errors.push(
      ...qualifiedNameErrors(balancer).map((each) => invalid("spec.loadBalancerClass", balancer, each)),
    );
  }
  const external = spec.externalTrafficPolicy ?? "";
  if (!isExternal(spec)) {
    if (external !== "")
      errors.push(
        invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"),
      );
  } else if (external === "") errors.push(required("spec.externalTrafficPolicy"));
  else if (!policies.includes(external))
    errors.push(notSupported("spec.externalTrafficPolicy", external, policies));
  const health = spec.healthCheckNodePort;
  if (health && !(type === "LoadBalancer" && external === "Local"))
    errors.push(
      invalid(
        "spec.healthCheckNodePort",
        health,
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      ),
    );
  const internal = spec.internalTrafficPolicy;
  if (internal === undefined) {
    if (["NodePort", "LoadBalancer", "ClusterIP"].includes(type))
      errors.push(required("spec.internalTrafficPolicy"));
  } else if (!policies.includes(internal))
    errors.push(notSupported("spec.internalTrafficPolicy", internal, policies));
  const distribution = (spec as { trafficDistribution?: string }).trafficDistribution;
  if (distribution !== undefined && distribution !== "PreferClose")
    errors.push(notSupported("spec.trafficDistribution", distribution, ["PreferClose"]));
  return errors;
}
