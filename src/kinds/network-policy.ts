/** NetworkPolicy (networking.k8s.io/v1). */
import type {
  NetworkPolicyPeer,
  NetworkPolicyPort,
  NetworkPolicySpec,
} from "kubernetes-types/networking/v1.d.ts";
import { ageColumn, nameColumn, text } from "./columns.ts";
import { type FieldError, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { goStrings } from "./go-syntax.ts";
import { portErrors } from "./handlers.ts";
import { cidrContains, parseCidr } from "./ip.ts";
import { defineKind } from "./kind.ts";
import { formatLabelSelector, validateLabelSelector } from "./label-selector.ts";
import { portNumberErrors } from "./names.ts";
import { badCidr } from "./node.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs, withGeneration } from "./strategy.ts";

interface NetworkPolicyObject extends KubeObject {
  spec: NetworkPolicySpec;
}

export const networkPolicy = defineKind<NetworkPolicyObject>({
  group: "networking.k8s.io",
  version: "v1",
  kind: "NetworkPolicy",
  plural: "networkpolicies",
  singular: "networkpolicy",
  shortNames: ["netpol"],
  namespaced: true,
  schemaName: "io.k8s.api.networking.v1.NetworkPolicy",
  verbs: allVerbs,
  ...withGeneration<NetworkPolicyObject>(["spec"]),
  applyDefaults({ spec }) {
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])])
      for (const port of rule.ports ?? []) port.protocol ??= "TCP";
    if ((spec.policyTypes ?? []).length === 0)
      spec.policyTypes = (spec.egress ?? []).length === 0 ? ["Ingress"] : ["Ingress", "Egress"];
  },
  validate: ({ spec }) => validateSpec(spec),
  validateUpdate: ({ spec }) => validateSpec(spec),
  columns: [
    nameColumn,
    text("Pod-Selector", "Pods that the policy holds for.", ({ spec }) =>
      formatLabelSelector(spec.podSelector),
    ),
    ageColumn,
  ],
});

function validateSpec(spec: NetworkPolicySpec): FieldError[] {
  const errors = validateLabelSelector(spec.podSelector, "spec.podSelector");
  for (const [index, rule] of (spec.ingress ?? []).entries())
    errors.push(...ruleErrors(rule.ports, rule.from, "from", `spec.ingress[${index}]`));
  for (const [index, rule] of (spec.egress ?? []).entries())
    errors.push(...ruleErrors(rule.ports, rule.to, "to", `spec.egress[${index}]`));
  const types = spec.policyTypes ?? [];
  if (types.length > 2)
    errors.push(
      invalid(
        "spec.policyTypes",
        { goSyntax: goStrings(types).goSyntax.replace("[]string", "[]networking.PolicyType") },
        "may not specify more than two policyTypes",
      ),
    );
  else
    for (const [index, type] of types.entries())
      if (type !== "Ingress" && type !== "Egress")
        errors.push(notSupported(`spec.policyTypes[${index}]`, type, ["Ingress", "Egress"]));
  return errors;
}

function ruleErrors(
  ports: readonly NetworkPolicyPort[] | undefined,
  peers: readonly NetworkPolicyPeer[] | undefined,
  direction: "from" | "to",
  path: string,
): FieldError[] {
  return [
    ...(ports ?? []).flatMap((port, index) => validatePort(port, `${path}.ports[${index}]`)),
    ...(peers ?? []).flatMap((peer, index) => validatePeer(peer, `${path}.${direction}[${index}]`)),
  ];
}

function validatePort(port: NetworkPolicyPort, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const protocols = ["TCP", "UDP", "SCTP"];
  if (port.protocol !== undefined && !protocols.includes(port.protocol))
    errors.push(notSupported(`${path}.protocol`, port.protocol, protocols));
  const { port: number, endPort } = port;
  if (number === undefined) {
    if (endPort !== undefined)
      errors.push(invalid(`${path}.endPort`, endPort, "may not be specified when `port` is not specified"));
    return errors;
  }
  if (typeof number === "string") {
    if (endPort !== undefined)
      errors.push(invalid(`${path}.endPort`, endPort, "may not be specified when `port` is non-numeric"));
    return [...errors, ...portErrors(number, `${path}.port`)];
  }
  errors.push(...portNumberErrors(number).map((each) => invalid(`${path}.port`, number, each)));
  if (endPort !== undefined) {
    if (endPort < number)
      errors.push(invalid(`${path}.endPort`, number, "must be greater than or equal to `port`"));
    errors.push(...portNumberErrors(endPort).map((each) => invalid(`${path}.endPort`, endPort, each)));
  }
  return errors;
}

function validatePeer(peer: NetworkPolicyPeer, path: string): FieldError[] {
  const { podSelector, namespaceSelector, ipBlock } = peer;
  const errors = [
    ...validateLabelSelector(podSelector, `${path}.podSelector`),
    ...validateLabelSelector(namespaceSelector, `${path}.namespaceSelector`),
  ];
  if (ipBlock !== undefined) {
    const at = `${path}.ipBlock`;
    const cidr = parseCidr(ipBlock.cidr ?? "");
    if (!ipBlock.cidr) errors.push(required(`${at}.cidr`));
    else if (cidr === undefined) errors.push(invalid(`${at}.cidr`, ipBlock.cidr, badCidr));
    else
      for (const [index, text] of (ipBlock.except ?? []).entries()) {
        const except = parseCidr(text);
        if (except === undefined) errors.push(invalid(`${at}.except[${index}]`, text, badCidr));
        else if (!cidrContains(cidr, except) || except.bits <= cidr.bits)
          errors.push(invalid(`${at}.except[${index}]`, text, "must be a strict subset of `cidr`"));
      }
  }
  const selectors = podSelector !== undefined || namespaceSelector !== undefined;
  if (!selectors && ipBlock === undefined) errors.push(required(path, "must specify a peer"));
  else if (selectors && ipBlock !== undefined)
    errors.push(forbidden(path, "may not specify both ipBlock and another peer"));
  return errors;
}
