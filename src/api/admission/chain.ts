/** The plugins, in upstream's order. */
import type { Random } from "#base/ports.ts";
import type { WatchHub } from "../cache/watch-hub.ts";
import type { ResourceRegistry } from "../registry.ts";
import type { AdmissionPlugin } from "./admission.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { validatingAdmissionPolicy } from "./validating-admission-policy.ts";
import type { Authorizer } from "../auth/authorizer.ts";
import type { RbacAuthorizer } from "../auth/rbac.ts";
import { rbacEscalation } from "./rbac-escalation.ts";
import { nodeRestriction } from "./node-restriction.ts";
import { defaultTolerations, priority, runtimeClass, taintNewNodes } from "./pod-defaults.ts";
import { serviceAccount } from "./service-account.ts";
import { defaultIngressClass, defaultStorageClass, storageObjectInUseProtection } from "./storage.ts";

export function admissionPlugins(options: {
  registry: ResourceRegistry;
  hub: WatchHub;
  random: Random;
  rbac: RbacAuthorizer;
  authorizer: Authorizer;
}): AdmissionPlugin[] {
  const { registry, hub, random } = options;
  return [
    namespaceLifecycle(registry, hub),
    serviceAccount(registry, hub, random),
    nodeRestriction(registry),
    taintNewNodes,
    priority(registry),
    defaultTolerations,
    defaultStorageClass(registry),
    storageObjectInUseProtection,
    runtimeClass(registry),
    defaultIngressClass(registry),
    rbacEscalation(options),
    validatingAdmissionPolicy(registry),
  ];
}
