/** Storage: a claim without a class gets the default one; volumes and claims are protected while in use. */
import type { KubeObject } from "#kinds/object.ts";
import type { ResourceRegistry } from "../registry.ts";
import type { AdmissionPlugin } from "./admission.ts";

const defaultClassAnnotation = "storageclass.kubernetes.io/is-default-class";
const protections: Readonly<Record<string, string>> = {
  persistentvolumeclaims: "kubernetes.io/pvc-protection",
  persistentvolumes: "kubernetes.io/pv-protection",
};

export const storageObjectInUseProtection: AdmissionPlugin = {
  name: "StorageObjectInUseProtection",
  admit(request) {
    const { kind } = request.resource;
    if (request.operation !== "CREATE" || request.subresource !== "" || kind.group !== "") return;
    const finalizer = protections[kind.plural];
    if (finalizer === undefined || request.object === undefined) return;
    const { metadata } = request.object;
    if (!(metadata.finalizers ?? []).includes(finalizer)) {
      metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
    }
  },
};

interface ClaimSpec {
  storageClassName?: string;
}

export function defaultStorageClass(registry: ResourceRegistry): AdmissionPlugin {
  return {
    name: "DefaultStorageClass",
    admit(request) {
      const { kind } = request.resource;
      if (request.operation !== "CREATE" || kind.group !== "" || kind.plural !== "persistentvolumeclaims")
        return;
      const { object } = request;
      if (object === undefined) return;
      const spec = (object["spec"] ??= {}) as ClaimSpec;
      if (spec.storageClassName !== undefined) return;
      const name = newestDefault(registry, "storage.k8s.io", "storageclasses", defaultClassAnnotation);
      if (name !== undefined) spec.storageClassName = name;
    },
  };
}

export function defaultIngressClass(registry: ResourceRegistry): AdmissionPlugin {
  return {
    name: "DefaultIngressClass",
    admit(request) {
      const { kind } = request.resource;
      if (request.operation !== "CREATE" || kind.group !== "networking.k8s.io" || kind.plural !== "ingresses")
        return;
      const { object } = request;
      if (object === undefined) return;
      if (object.metadata.annotations?.["kubernetes.io/ingress.class"] !== undefined) return;
      const spec = (object["spec"] ??= {}) as { ingressClassName?: string };
      if (spec.ingressClassName !== undefined) return;
      const annotation = "ingressclass.kubernetes.io/is-default-class";
      const name = newestDefault(registry, "networking.k8s.io", "ingressclasses", annotation);
      if (name !== undefined) spec.ingressClassName = name;
    },
  };
}

/** Of several defaults the newest counts. */
function newestDefault(
  registry: ResourceRegistry,
  group: string,
  plural: string,
  annotation: string,
): string | undefined {
  const stored = registry.builtIn(group, plural).stored;
  const defaults = (stored?.cache.list("") ?? [])
    .map((entry): KubeObject => entry.decode())
    .filter((each) => each.metadata.annotations?.[annotation] === "true");
  defaults.sort((left, right) => {
    const a = left.metadata.creationTimestamp ?? "";
    const b = right.metadata.creationTimestamp ?? "";
    return a === b ? ((left.metadata.name ?? "") < (right.metadata.name ?? "") ? -1 : 1) : a > b ? -1 : 1;
  });
  return defaults[0]?.metadata.name;
}
