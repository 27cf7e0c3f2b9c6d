/**
 * What admission adds to pods: their priority (Priority) and tolerations of nodes that are not ready or
 * unreachable for a while (DefaultTolerationSeconds), and to nodes: the taint of one that is not ready
 * yet (TaintNodesByCondition).
 */
import type { KubeObject } from "#kinds/object.ts";
import { compareQuantities } from "#kinds/quantity.ts";
import type { ResourceRegistry } from "../registry.ts";
import { forbiddenError } from "../status.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./admission.ts";

interface Toleration {
  key?: string;
  operator?: string;
  effect?: string;
  tolerationSeconds?: number;
}

interface PodSpec {
  priority?: number;
  priorityClassName?: string;
  preemptionPolicy?: string;
  tolerations?: Toleration[];
}

interface PriorityClassObject extends KubeObject {
  value?: number;
  globalDefault?: boolean;
  preemptionPolicy?: string;
}

export function isNewPod(request: AdmissionRequest): boolean {
  const { kind } = request.resource;
  return (
    kind.group === "" &&
    kind.plural === "pods" &&
    request.operation === "CREATE" &&
    request.subresource === ""
  );
}

export function priority(registry: ResourceRegistry): AdmissionPlugin {
  const classes = (): PriorityClassObject[] => {
    const stored = registry.builtIn("scheduling.k8s.io", "priorityclasses").stored;
    return (stored?.cache.list("") ?? []).map((entry) => entry.decode() as PriorityClassObject);
  };
  return {
    name: "Priority",
    admit(request) {
      const { object } = request;
      if (!isNewPod(request) || object === undefined) return;
      const spec = (object["spec"] ??= {}) as PodSpec;
      const name = spec.priorityClassName ?? "";
      const defaults = classes().filter((each) => each.globalDefault === true);
      const chosen =
        name === ""
          ? defaults.sort((left, right) => (left.value ?? 0) - (right.value ?? 0))[0]
          : classes().find((each) => each.metadata.name === name);
      if (name !== "" && chosen === undefined) {
        throw forbiddenError(
          request.resource.groupResource,
          request.name,
          `no PriorityClass with name ${name} was found`,
        );
      }
      const value = chosen?.value ?? 0;
      if (spec.priority !== undefined && spec.priority !== value) {
        throw forbiddenError(
          request.resource.groupResource,
          request.name,
          `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
        );
      }
      spec.priority = value;
      if (chosen !== undefined && name === "") spec.priorityClassName = chosen.metadata.name ?? "";
      const preemption = chosen?.preemptionPolicy ?? "PreemptLowerPriority";
      if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== preemption) {
        throw forbiddenError(
          request.resource.groupResource,
          request.name,
          `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${preemption} from the given PriorityClass name`,
        );
      }
      spec.preemptionPolicy = preemption;
    },
    validate(request) {
      const { kind } = request.resource;
      if (kind.plural !== "priorityclasses" || request.operation === "DELETE") return;
      const object = request.object as PriorityClassObject | undefined;
      if (object?.globalDefault !== true) return;
      const other = classes().find(
        (each) => each.globalDefault === true && each.metadata.name !== request.name,
      );
      if (other === undefined) return;
      throw forbiddenError(
        request.resource.groupResource,
        request.name,
        `PriorityClass ${other.metadata.name ?? ""} is already marked as default. Only one default can exist`,
      );
    },
  };
}

const defaultTolerationSeconds = 300;

export const defaultTolerations: AdmissionPlugin = {
  name: "DefaultTolerationSeconds",
  admit(request) {
    if (!isNewPod(request) || request.object === undefined) return;
    const spec = (request.object["spec"] ??= {}) as PodSpec;
    for (const key of ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
      const tolerations = (spec.tolerations ??= []);
      const isTolerated = tolerations.some(
        (each) =>
          (each.key === key || (each.key ?? "") === "") &&
          (each.effect === "NoExecute" || (each.effect ?? "") === ""),
      );
      if (isTolerated) continue;
      tolerations.push({
        key,
        operator: "Exists",
        effect: "NoExecute",
        tolerationSeconds: defaultTolerationSeconds,
      });
    }
    if (spec.tolerations?.length === 0) delete spec.tolerations;
  },
};

export const taintNewNodes: AdmissionPlugin = {
  name: "TaintNodesByCondition",
  admit(request) {
    const { kind } = request.resource;
    if (kind.group !== "" || kind.plural !== "nodes" || request.operation !== "CREATE") return;
    if (request.object === undefined) return;
    const spec = (request.object["spec"] ??= {}) as { taints?: { key: string; effect: string }[] };
    const taint = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" };
    const known = (spec.taints ?? []).some((each) => each.key === taint.key && each.effect === taint.effect);
    if (!known) spec.taints = [...(spec.taints ?? []), taint];
  },
};

/** A pod's RuntimeClass brings its overhead and its node selector. */
export function runtimeClass(registry: ResourceRegistry): AdmissionPlugin {
  return {
    name: "RuntimeClass",
    admit(request) {
      if (!isNewPod(request) || request.object === undefined) return;
      const spec = (request.object["spec"] ??= {}) as {
        runtimeClassName?: string;
        overhead?: Record<string, string>;
        nodeSelector?: Record<string, string>;
        tolerations?: unknown[];
      };
      const name = spec.runtimeClassName ?? "";
      if (name === "") {
        refuseOverhead(request, spec.overhead);
        return;
      }
      const stored = registry.builtIn("node.k8s.io", "runtimeclasses").stored;
      const found = stored?.cache.get(stored.keyPrefix + name)?.decode() as
        | (KubeObject & {
            overhead?: { podFixed?: Record<string, string> };
            scheduling?: { nodeSelector?: Record<string, string>; tolerations?: unknown[] };
          })
        | undefined;
      if (found === undefined) {
        throw forbiddenError(
          request.resource.groupResource,
          request.name,
          `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`,
        );
      }
      const overhead = found.overhead?.podFixed;
      if (overhead !== undefined) {
        if (spec.overhead !== undefined && !sameAmounts(spec.overhead, overhead)) {
          const why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
          throw forbiddenError(request.resource.groupResource, request.name, why);
        }
        spec.overhead = { ...overhead };
      } else refuseOverhead(request, spec.overhead);
      for (const [key, value] of Object.entries(found.scheduling?.nodeSelector ?? {})) {
        const given = spec.nodeSelector?.[key];
        if (given !== undefined && given !== value) {
          throw forbiddenError(
            request.resource.groupResource,
            request.name,
            `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${given}`,
          );
        }
        spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
      }
      if (found.scheduling?.tolerations !== undefined) {
        spec.tolerations = [...(spec.tolerations ?? []), ...found.scheduling.tolerations];
      }
    },
  };
}

/** Overhead is the RuntimeClass's to say. */
function refuseOverhead(request: AdmissionRequest, overhead: Record<string, string> | undefined): void {
  if (Object.keys(overhead ?? {}).length === 0) return;
  const why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
  throw forbiddenError(request.resource.groupResource, request.name, why);
}

function sameAmounts(left: Record<string, string>, right: Record<string, string>): boolean {
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...names].every((name) => {
    const [a, b] = [left[name], right[name]];
    return a !== undefined && b !== undefined && compareQuantities(a, b) === 0;
  });
}
