/** Ingress (networking.k8s.io/v1). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import type { IngressBackend, IngressSpec, IngressStatus } from "kubernetes-types/networking/v1.d.ts";
import { type FieldError, invalid, notSupported, required } from "./field-error.ts";
import { ipErrors, parseIp } from "./ip.ts";
import {
  dns1035LabelErrors,
  dnsSubdomainErrors,
  portNameErrors,
  portNumberErrors,
  wildcardSubdomainErrors,
} from "./names.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { balancerNameErrors } from "./service.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.networking.v1.Ingress";

interface IngressObject extends KubeObject {
  spec: IngressSpec;
  status?: IngressStatus;
}

export const ingress = defineKind<IngressObject>({
  group: "networking.k8s.io",
  version: "v1",
  kind: "Ingress",
  plural: "ingresses",
  singular: "ingress",
  shortNames: ["ing"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    status: statusSubresource<IngressObject>({
      validateUpdate: ({ status }) =>
        (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }, index) => {
          const at = `status.loadBalancer.ingress[${index}]`;
          return [
            ...(ip ? ipErrors(ip).map((each) => invalid(`${at}.ip`, ip, each)) : []),
            ...(hostname ? balancerNameErrors(hostname, `${at}.hostname`) : []),
          ];
        }),
    }),
  },
  validate: ({ spec }) => validateSpec(spec),
  validateUpdate: ({ spec }) => validateSpec(spec),
  columns: [
    nameColumn,
    text(
      "Class",
      "Class of the ingress.",
      ({ metadata, spec }) =>
        spec.ingressClassName ?? metadata.annotations?.["kubernetes.io/ingress.class"] ?? "<none>",
    ),
    text("Hosts", "Hosts of the rules.", ({ spec }) => {
      const hosts = (spec.rules ?? []).map((rule) => rule.host ?? "").filter((host) => host !== "");
      if (hosts.length === 0) return "*";
      return hosts.length > 3
        ? `${hosts.slice(0, 3).join(",")} + ${hosts.length - 3} more...`
        : hosts.join(",");
    }),
    text("Address", "Addresses of the load balancer.", ({ status }) =>
      (status?.loadBalancer?.ingress ?? [])
        .map((each) => each.ip || each.hostname || "")
        .filter((each) => each !== "")
        .join(","),
    ),
    text("Ports", "Ports of the ingress.", ({ spec }) => ((spec.tls ?? []).length > 0 ? "80, 443" : "80")),
    ageColumn,
  ],
});

function validateSpec(spec: IngressSpec): FieldError[] {
  const errors: FieldError[] = [];
  const rules = spec.rules ?? [];
  if (rules.length === 0 && spec.defaultBackend === undefined)
    errors.push(
      invalid(
        "spec",
        { goSyntax: "[]networking.IngressRule(nil)" },
        "either `defaultBackend` or `rules` must be specified",
      ),
    );
  if (spec.defaultBackend !== undefined)
    errors.push(...backendErrors(spec.defaultBackend, "spec.defaultBackend"));
  for (const [index, rule] of rules.entries()) {
    const at = `spec.rules[${index}]`;
    const { host } = rule;
    if (host) {
      if (parseIp(host) !== undefined)
        errors.push(invalid(`${at}.host`, host, "must be a DNS name, not an IP address"));
      const check = host.includes("*") ? wildcardSubdomainErrors : dnsSubdomainErrors;
      errors.push(...check(host).map((each) => invalid(`${at}.host`, host, each)));
    }
    if (rule.http === undefined) continue;
    const paths = rule.http.paths ?? [];
    if (paths.length === 0) errors.push(required(`${at}.http.paths`));
    for (const [position, each] of paths.entries()) {
      const path = `${at}.http.paths[${position}]`;
      errors.push(
        ...pathErrors(each.path ?? "", each.pathType, path),
        ...backendErrors(each.backend, `${path}.backend`),
      );
    }
  }
  for (const [index, tls] of (spec.tls ?? []).entries()) {
    for (const [position, host] of (tls.hosts ?? []).entries()) {
      const check = host.includes("*") ? wildcardSubdomainErrors : dnsSubdomainErrors;
      errors.push(...check(host).map((each) => invalid(`spec.tls[${index}].hosts[${position}]`, host, each)));
    }
    const secret = tls.secretName;
    if (secret)
      errors.push(
        ...dnsSubdomainErrors(secret).map((each) => invalid(`spec.tls[${index}].secretName`, secret, each)),
      );
  }
  const name = spec.ingressClassName;
  if (name !== undefined)
    errors.push(...dnsSubdomainErrors(name).map((each) => invalid("spec.ingressClassName", name, each)));
  return errors;
}

function pathErrors(path: string, type: string | undefined, at: string): FieldError[] {
  const types = ["Exact", "ImplementationSpecific", "Prefix"];
  if (type === undefined) return [required(`${at}.pathType`, "pathType must be specified")];
  if (type === "ImplementationSpecific")
    return path !== "" && !path.startsWith("/")
      ? [invalid(`${at}.path`, path, "must be an absolute path")]
      : [];
  if (!types.includes(type)) return [notSupported(`${at}.pathType`, type, types)];
  const errors: FieldError[] = [];
  if (!path.startsWith("/")) errors.push(invalid(`${at}.path`, path, "must be an absolute path"));
  for (const part of ["//", "/./", "/../", "%2f", "%2F"])
    if (path.includes(part)) errors.push(invalid(`${at}.path`, path, `must not contain '${part}'`));
  for (const part of ["/..", "/."])
    if (path.endsWith(part)) errors.push(invalid(`${at}.path`, path, `cannot end with '${part}'`));
  return errors;
}

function backendErrors(backend: IngressBackend, path: string): FieldError[] {
  const { service, resource } = backend;
  if (resource !== undefined && service !== undefined)
    return [invalid(path, "", "cannot set both resource and service backends")];
  if (resource !== undefined)
    return [
      ...(resource.kind ? [] : [required(`${path}.resource.kind`, "kind is required")]),
      ...(resource.name ? [] : [required(`${path}.resource.name`, "name is required")]),
    ];
  if (service === undefined) return [invalid(path, "", "resource or service backend is required")];
  const errors = service.name
    ? dns1035LabelErrors(service.name).map((each) => invalid(`${path}.service.name`, service.name, each))
    : [required(`${path}.service.name`)];
  const { name = "", number = 0 } = service.port ?? {};
  if (name !== "" && number !== 0) errors.push(invalid(path, "", "cannot set both port name & port number"));
  else if (name !== "")
    errors.push(...portNameErrors(name).map((each) => invalid(`${path}.service.port.name`, name, each)));
  else if (number !== 0)
    errors.push(
      ...portNumberErrors(number).map((each) => invalid(`${path}.service.port.number`, number, each)),
    );
  else errors.push(required(path, "port name or number is required"));
  return errors;
}
