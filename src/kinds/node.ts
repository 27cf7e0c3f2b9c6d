/** Node (v1). */
import type { NodeSpec, NodeStatus } from "kubernetes-types/core/v1.d.ts";
import { ageColumn, nameColumn, orNone, text, wide } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, duplicate, forbidden, invalid } from "./field-error.ts";
import { goStrings } from "./go-syntax.ts";
import { parseCidr } from "./ip.ts";
import { defineKind } from "./kind.ts";
import { labelValueErrors, qualifiedNameErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { nonNegativeQuantityErrors } from "./resource-list.ts";
import { taintEffectErrors } from "./scheduling.ts";
import { allVerbs, clearStatus, keepField, proxyVerbs, statusSubresource } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.Node";
export const badCidr = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

interface NodeObject extends KubeObject {
  spec: NodeSpec;
  status?: NodeStatus;
}

export const node = defineKind<NodeObject>({
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  singular: "node",
  shortNames: ["no"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  createOnUpdate: false,
  applyDefaults({ spec, status }) {
    // The single field and the list of pod networks say the same.
    if (spec.podCIDR && spec.podCIDRs?.[0] !== spec.podCIDR) spec.podCIDRs = [spec.podCIDR];
    if (status?.capacity !== undefined && status.allocatable === undefined)
      status.allocatable = { ...status.capacity };
  },
  prepareUpdate(object, old) {
    keepField(object, old, "status");
  },
  validate: validateNode,
  validateUpdate(object, old) {
    const errors = validateNode(object);
    const before = old.spec.podCIDRs ?? [];
    if (before.length > 0 && !deepEqual(before, object.spec.podCIDRs))
      errors.push(forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'));
    if (old.spec.providerID && object.spec.providerID !== old.spec.providerID)
      errors.push(
        forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'),
      );
    return errors;
  },
  subresources: {
    proxy: { speaks: { group: "", version: "v1", kind: "NodeProxyOptions" }, verbs: proxyVerbs },
    status: statusSubresource<NodeObject>({ validateUpdate: validateStatus }),
  },
  fieldSelectors: { "spec.unschedulable": ({ spec }) => String(spec.unschedulable ?? false) },
  columns: [
    nameColumn,
    text("Status", "Conditions of the node, and whether it takes pods.", statusText),
    text("Roles", "Roles by label.", ({ metadata }) => rolesText(metadata.labels)),
    ageColumn,
    text("Version", "Version of the node agent.", ({ status }) => status?.nodeInfo?.kubeletVersion ?? ""),
    wide("Internal-IP", "First internal address.", (object) => addressOf(object, "InternalIP")),
    wide("External-IP", "First external address.", (object) => addressOf(object, "ExternalIP")),
    wide("OS-Image", "Operating system.", ({ status }) => status?.nodeInfo?.osImage || "<unknown>"),
    wide(
      "Kernel-Version",
      "Version of the kernel.",
      ({ status }) => status?.nodeInfo?.kernelVersion || "<unknown>",
    ),
    wide(
      "Container-Runtime",
      "Container runtime and version.",
      ({ status }) => status?.nodeInfo?.containerRuntimeVersion || "<unknown>",
    ),
  ],
  prepareCreate(object) {
    if (object.status === undefined) clearStatus(object, schemaName);
  },
  resetFields: ["status"],
});

function statusText({ spec, status }: NodeObject): string {
  const ready = status?.conditions?.find((each) => each.type === "Ready");
  const words = ready === undefined ? ["Unknown"] : [ready.status === "True" ? "Ready" : "NotReady"];
  if (spec.unschedulable === true) words.push("SchedulingDisabled");
  return words.join(",");
}

function rolesText(labels: Record<string, string> | undefined): string {
  const prefix = "node-role.kubernetes.io/";
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(labels ?? {}))
    if (key.startsWith(prefix) && key.length > prefix.length) roles.add(key.slice(prefix.length));
    else if (key === "kubernetes.io/role" && value !== "") roles.add(value);
  return orNone([...roles].sort().join(","));
}

function addressOf({ status }: NodeObject, type: string): string {
  return orNone(status?.addresses?.find((each) => each.type === type)?.address);
}

function validateNode({ spec, status }: NodeObject): FieldError[] {
  const errors = validateTaints(spec, "metadata.taints");
  for (const field of ["capacity", "allocatable"] as const)
    for (const [name, value] of Object.entries((status?.[field] ?? {}) as Record<string, string>))
      errors.push(...nonNegativeQuantityErrors(value, `status.${field}.${name}`));
  const cidrs = spec.podCIDRs ?? [];
  const parsed = cidrs.map((each) => parseCidr(each));
  for (const [index, each] of cidrs.entries())
    if (parsed[index] === undefined) errors.push(invalid(`spec.podCIDRs[${index}]`, each, badCidr));
  if (cidrs.length > 1) {
    const families = parsed.map((each) => each?.family);
    const dual = cidrs.length === 2 && families.includes(4) && families.includes(6);
    if (!dual)
      errors.push(
        invalid("spec.podCIDRs", goStrings(cidrs), "may specify no more than one CIDR for each IP family"),
      );
    for (const [index, each] of cidrs.entries())
      if (cidrs.indexOf(each) < index) errors.push(duplicate(`spec.podCIDRs[${index}]`, each));
  }
  return errors;
}

/** Upstream names the taints' field as if it were in the metadata. */
function validateTaints(spec: NodeSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, { key = "", value = "", effect = "", timeAdded }] of (spec.taints ?? []).entries()) {
    const at = `${path}[${index}]`;
    errors.push(...qualifiedNameErrors(key).map((each) => invalid(`${at}.key`, key, each)));
    errors.push(...labelValueErrors(value).map((each) => invalid(`${at}.value`, value, each)));
    errors.push(
      ...taintEffectErrors(effect, `${at}.effect`, ["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    );
    const pair = `${effect}/${key}`;
    if (seen.has(pair))
      errors.push(
        duplicate(
          at,
          {
            goSyntax: `core.Taint{Key:${JSON.stringify(key)}, Value:${JSON.stringify(value)}, Effect:${JSON.stringify(effect)}, TimeAdded:${timeAdded === undefined ? "<nil>" : timeAdded}}`,
          },
          "taints must be unique by key and effect pair",
        ),
      );
    seen.add(pair);
  }
  return errors;
}

function validateStatus({ status }: NodeObject): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, { address, type }] of (status?.addresses ?? []).entries()) {
    const key = `${type}/${address}`;
    if (seen.has(key))
      errors.push(
        duplicate(`status.addresses[${index}]`, {
          goSyntax: `core.NodeAddress{Type:${JSON.stringify(type)}, Address:${JSON.stringify(address)}}`,
        }),
      );
    seen.add(key);
  }
  return errors;
}
