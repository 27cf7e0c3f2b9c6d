/** PersistentVolumeClaimResize: only a bound claim of a class that allows it may ask for more than before. */
import type { KubeObject } from "#kinds/object.ts";
import { compareQuantities } from "#kinds/quantity.ts";
import type { ResourceRegistry } from "../registry.ts";
import { forbiddenError } from "../status.ts";
import type { AdmissionPlugin } from "./admission.ts";

type Claim = KubeObject & {
  spec?: { storageClassName?: string; resources?: { requests?: Record<string, string> } };
  status?: { phase?: string };
};

export function claimResize(registry: ResourceRegistry): AdmissionPlugin {
  const mayExpand = (className: string): boolean => {
    const stored = registry.builtIn("storage.k8s.io", "storageclasses").stored;
    const found = stored?.cache.get(stored.keyPrefix + className)?.decode();
    return found?.["allowVolumeExpansion"] === true;
  };
  return {
    name: "PersistentVolumeClaimResize",
    validate(request) {
      const { kind, groupResource } = request.resource;
      if (kind.group !== "" || kind.plural !== "persistentvolumeclaims") return;
      if (request.operation !== "UPDATE" || request.subresource !== "") return;
      const claim = request.object as Claim;
      const old = request.old as Claim;
      if (compareQuantities(sizeOf(claim), sizeOf(old)) <= 0) return;
      if (old.status?.phase !== "Bound") {
        const why = "Only bound persistent volume claims can be expanded";
        throw forbiddenError(groupResource, request.name, why);
      }
      const className = claim.spec?.storageClassName ?? "";
      if (className !== "" && className === old.spec?.storageClassName && mayExpand(className)) return;
      const why =
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
      throw forbiddenError(groupResource, request.name, why);
    },
  };
}

function sizeOf(claim: Claim): string {
  return claim.spec?.resources?.requests?.["storage"] ?? "0";
}
