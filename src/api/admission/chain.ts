/** The plugins, in upstream's order. */
import type { Random } from "#base/ports.ts";
import type { WatchHub } from "../cache/watch-hub.ts";
import type { ResourceRegistry } from "../registry.ts";
import type { AdmissionPlugin } from "./admission.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { validatingAdmissionPolicy } from "./validating-admission-policy.ts";
import type { Authorizer } from "../auth/authorizer.ts";
import type { RbacAuthorizer } from "../auth/rbac.ts";
import { certificateApproval, certificateSigning, certificateSubjectRestriction } from "./certificates.ts";
import { claimResize } from "./claim-resize.ts";
import { limitRanger } from "./limit-ranger.ts";
import { podSecurity } from "../pod-security/pod-security.ts";
import { resourceQuota } from "./resource-quota.ts";
import type { ObjectStore } from "../storage/object-store.ts";
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
  store: ObjectStore;
}): AdmissionPlugin[] {
  const { registry, hub, random } = options;
  return [
    namespaceLifecycle(registry, hub),
    limitRanger(registry),
    serviceAccount(registry, hub, random),
    nodeRestriction(registry),
    taintNewNodes,
    podSecurity(registry),
    priority(registry),
    defaultTolerations,
    defaultStorageClass(registry),
    storageObjectInUseProtection,
    claimResize(registry),
    runtimeClass(registry),
    certificateApproval(options.authorizer),
    certificateSigning(options.authorizer),
    certificateSubjectRestriction,
    defaultIngressClass(registry),
    rbacEscalation(options),
    validatingAdmissionPolicy(registry),
    resourceQuota(registry, options.store),
  ];
}
