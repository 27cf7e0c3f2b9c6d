/** EndpointSlice (discovery.k8s.io/v1). */
import type { Endpoint, EndpointPort } from "kubernetes-types/discovery/v1.d.ts";
import { ageColumn, nameColumn, orUnset, text } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, duplicate, invalid, notSupported, required, tooMany } from "./field-error.ts";
import { isIPv4, isIPv6 } from "./ip.ts";
import { defineKind } from "./kind.ts";
import { dnsLabelErrors, dnsSubdomainErrors, labelValueErrors, qualifiedNameErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { nonSpecialIpErrors } from "./special-ip.ts";
import { allVerbs, countGeneration, startGeneration } from "./strategy.ts";

interface EndpointSliceObject extends KubeObject {
  addressType: string;
  endpoints: Endpoint[] | null;
  ports: EndpointPort[] | null;
}

const addressTypes = ["FQDN", "IPv4", "IPv6"];
const protocols = ["SCTP", "TCP", "UDP"];

export const endpointSlice = defineKind<EndpointSliceObject>({
  group: "discovery.k8s.io",
  version: "v1",
  kind: "EndpointSlice",
  plural: "endpointslices",
  singular: "endpointslice",
  namespaced: true,
  schemaName: "io.k8s.api.discovery.v1.EndpointSlice",
  verbs: allVerbs,
  metadataErrorsOnce: true,
  prepareCreate: startGeneration,
  prepareUpdate(object, old) {
    countGeneration(object, old, ["endpoints", "ports", "addressType"]);
    // Labels count here: they say which Service the slice belongs to.
    const generation = old.metadata.generation ?? 0;
    if (!deepEqual(object.metadata.labels, old.metadata.labels)) object.metadata.generation = generation + 1;
  },
  applyDefaults({ ports }) {
    for (const port of ports ?? []) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  validate: validateSlice,
  validateUpdate: (object, old) => [
    ...validateSlice(object),
    ...(object.addressType === old.addressType
      ? []
      : [invalid("addressType", object.addressType, "field is immutable")]),
  ],
  columns: [
    nameColumn,
    text("AddressType", "Sort of the addresses.", ({ addressType }) => addressType),
    text("Ports", "Ports of the endpoints.", ({ ports }) => {
      if (ports === null || ports === undefined || ports.length === 0) return "<unset>";
      return summarize(ports.map((each) => (each.port === undefined ? "*" : String(each.port))));
    }),
    text("Endpoints", "Addresses of the endpoints.", ({ endpoints }) =>
      orUnset(
        summarize((endpoints ?? []).map((each) => each.addresses?.[0] ?? "").filter((each) => each !== "")),
      ),
    ),
    ageColumn,
  ],
});

function summarize(list: readonly string[]): string {
  const text = list.slice(0, 3).join(",");
  return list.length > 3 ? `${text} + ${list.length - 3} more...` : text;
}

function validateSlice({ addressType, endpoints, ports }: EndpointSliceObject): FieldError[] {
  const errors: FieldError[] = [];
  if (addressType === "") errors.push(required("addressType"));
  else if (!addressTypes.includes(addressType))
    errors.push(notSupported("addressType", addressType, addressTypes));
  if ((endpoints ?? []).length > 1000) errors.push(tooMany("endpoints", endpoints?.length ?? 0, 1000));
  else
    for (const [index, each] of (endpoints ?? []).entries())
      errors.push(...validateEndpoint(each, addressType, `endpoints[${index}]`));
  if ((ports ?? []).length > 20000) errors.push(tooMany("ports", ports?.length ?? 0, 20000));
  return [...errors, ...validatePorts(ports ?? [])];
}

function validateEndpoint(endpoint: Endpoint, addressType: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const addresses = endpoint.addresses ?? [];
  if (addresses.length === 0) errors.push(required(`${path}.addresses`, "must contain at least 1 address"));
  else if (addresses.length > 100) errors.push(tooMany(`${path}.addresses`, addresses.length, 100));
  for (const [index, address] of addresses.entries()) {
    const at = `${path}.addresses[${index}]`;
    if (addressType === "IPv4" && !isIPv4(address))
      errors.push(invalid(at, address, "must be a valid IPv4 address"));
    if (addressType === "IPv6" && !isIPv6(address))
      errors.push(invalid(at, address, "must be a valid IPv6 address"));
    if (addressType === "IPv4" || addressType === "IPv6") errors.push(...nonSpecialIpErrors(address, at));
    else if (addressType === "FQDN")
      errors.push(...fullyQualifiedErrors(address).map((each) => invalid(at, address, each)));
  }
  const { hostname, nodeName, hints } = endpoint;
  if (hostname !== undefined)
    errors.push(...dnsLabelErrors(hostname).map((each) => invalid(`${path}.hostname`, hostname, each)));
  if (nodeName !== undefined)
    errors.push(...dnsSubdomainErrors(nodeName).map((each) => invalid(`${path}.nodeName`, nodeName, each)));
  const hinted = hints?.forZones?.length ?? 0;
  if (hinted > 8) errors.push(tooMany(`${path}.hints.forZones`, hinted, 8));
  const zones = new Set<string>();
  for (const [index, { name }] of (hints?.forZones ?? []).entries()) {
    const at = `${path}.hints.forZones[${index}].name`;
    if (zones.has(name)) errors.push(duplicate(at, name));
    zones.add(name);
    errors.push(...labelValueErrors(name).map((each) => invalid(at, name, each)));
  }
  return errors;
}

function fullyQualifiedErrors(name: string): string[] {
  const trimmed = name.endsWith(".") ? name.slice(0, -1) : name;
  if (!trimmed.includes(".")) return ["should be a domain with at least two segments separated by dots"];
  return trimmed.split(".").flatMap((label) => dnsLabelErrors(label));
}

function validatePorts(ports: readonly EndpointPort[]): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, { name = "", protocol = "", appProtocol }] of ports.entries()) {
    const at = `ports[${index}]`;
    if (name !== "") errors.push(...dnsLabelErrors(name).map((each) => invalid(`${at}.name`, name, each)));
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (!protocols.includes(protocol)) errors.push(notSupported(`${at}.protocol`, protocol, protocols));
    if (appProtocol !== undefined)
      errors.push(
        ...qualifiedNameErrors(appProtocol).map((each) => invalid(`${at}.appProtocol`, appProtocol, each)),
      );
  }
  return errors;
}
