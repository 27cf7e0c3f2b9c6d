/** Endpoints (v1). */
import type { EndpointAddress, EndpointSubset } from "kubernetes-types/core/v1.d.ts";
import { ageColumn, nameColumn, orNone, text } from "./columns.ts";
import { type FieldError, invalid, notSupported, required } from "./field-error.ts";
import { ipErrors } from "./ip.ts";
import { defineKind } from "./kind.ts";
import { dnsLabelErrors, dnsSubdomainErrors, portNumberErrors, qualifiedNameErrors } from "./names.ts";
import { nonSpecialIpErrors } from "./special-ip.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs } from "./strategy.ts";

interface EndpointsObject extends KubeObject {
  subsets?: EndpointSubset[];
}

export const endpoints = defineKind<EndpointsObject>({
  group: "",
  version: "v1",
  kind: "Endpoints",
  plural: "endpoints",
  singular: "endpoints",
  shortNames: ["ep"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.Endpoints",
  verbs: allVerbs,
  createOnUpdate: true,
  applyDefaults({ subsets }) {
    for (const subset of subsets ?? []) for (const port of subset.ports ?? []) port.protocol ||= "TCP";
  },
  validate: ({ subsets }) => (subsets ?? []).flatMap(validateSubset),
  validateUpdate: ({ subsets }) => (subsets ?? []).flatMap(validateSubset),
  columns: [
    nameColumn,
    text("Endpoints", "Addresses and ports that are ready.", ({ subsets }) => formatEndpoints(subsets ?? [])),
    ageColumn,
  ],
});

function formatEndpoints(subsets: readonly EndpointSubset[]): string {
  const shown: string[] = [];
  let count = 0;
  const add = (text: string): void => {
    if (shown.length < 3) shown.push(text);
    count += 1;
  };
  for (const { ports = [], addresses = [] } of subsets) {
    if (ports.length === 0) for (const { ip } of addresses) add(ip);
    else
      for (const { port } of ports)
        for (const { ip } of addresses) add(ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`);
  }
  const text = orNone(shown.join(","));
  return count > shown.length ? `${text} + ${count - shown.length} more...` : text;
}

function validateSubset(subset: EndpointSubset, index: number): FieldError[] {
  const path = `subsets[${index}]`;
  const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
  const errors: FieldError[] = [];
  if (addresses.length === 0 && notReadyAddresses.length === 0)
    errors.push(required(path, "must specify `addresses` or `notReadyAddresses`"));
  for (const [position, each] of addresses.entries())
    errors.push(...validateAddress(each, `${path}.addresses[${position}]`));
  for (const [position, each] of notReadyAddresses.entries())
    errors.push(...validateAddress(each, `${path}.notReadyAddresses[${position}]`));
  for (const [position, port] of ports.entries()) {
    const at = `${path}.ports[${position}]`;
    if (!port.name) {
      if (ports.length > 1) errors.push(required(`${at}.name`));
    } else errors.push(...dnsLabelErrors(port.name).map((each) => invalid(`${at}.name`, port.name, each)));
    errors.push(...portNumberErrors(port.port).map((each) => invalid(`${at}.port`, port.port, each)));
    const protocol = port.protocol ?? "";
    if (!["SCTP", "TCP", "UDP"].includes(protocol))
      errors.push(
        protocol === ""
          ? required(`${at}.protocol`)
          : notSupported(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"]),
      );
    if (port.appProtocol !== undefined)
      errors.push(
        ...qualifiedNameErrors(port.appProtocol).map((each) =>
          invalid(`${at}.appProtocol`, port.appProtocol, each),
        ),
      );
  }
  return errors;
}

function validateAddress(address: EndpointAddress, path: string): FieldError[] {
  const { ip, hostname, nodeName } = address;
  const errors = ipErrors(ip).map((each) => invalid(`${path}.ip`, ip, each));
  if (hostname)
    errors.push(...dnsLabelErrors(hostname).map((each) => invalid(`${path}.hostname`, hostname, each)));
  if (nodeName !== undefined)
    errors.push(...dnsSubdomainErrors(nodeName).map((each) => invalid(`${path}.nodeName`, nodeName, each)));
  return [...errors, ...nonSpecialIpErrors(ip, `${path}.ip`)];
}
