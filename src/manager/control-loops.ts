/** The controllers that run in a leadership of a term, with what each needs from outside. */
import type { Controller } from "#controllers/controller.ts";
import { attachDetachController } from "#controllers/attach-detach.ts";
import { bootstrapSignerController } from "#controllers/bootstrap-signer.ts";
import { bootstrapTokenCleanerController } from "#controllers/bootstrap-token-cleaner.ts";
import { certificateApprovingController } from "#controllers/certificate-approving.ts";
import { certificateCleanerController } from "#controllers/certificate-cleaner.ts";
import { certificateSigningController } from "#controllers/certificate-signing.ts";
import { cronJobController } from "#controllers/cron-job.ts";
import { daemonSetController } from "#controllers/daemon-set.ts";
import { deploymentController } from "#controllers/deployment.ts";
import { disruptionController } from "#controllers/disruption-budget.ts";
import { endpointSliceMirroringController } from "#controllers/endpoint-slice-mirroring.ts";
import { endpointSliceController } from "#controllers/endpoint-slice.ts";
import { endpointsController } from "#controllers/endpoints.ts";
import { ephemeralVolumeController } from "#controllers/ephemeral-volume.ts";
import { eventExpiryController } from "#controllers/event-expiry.ts";
import { flowSchemaController } from "#controllers/flow-schema.ts";
import { garbageCollector } from "#controllers/garbage-collector.ts";
import { horizontalAutoscalerController } from "#controllers/horizontal-autoscaler.ts";
import { jobController } from "#controllers/job.ts";
import { leaderLeaseController } from "#controllers/leader-lease.ts";
import { namespaceController } from "#controllers/namespace.ts";
import { nodeIpamController } from "#controllers/node-ipam.ts";
import { nodeLifecycleController } from "#controllers/node-lifecycle.ts";
import { podGarbageCollector } from "#controllers/pod-gc.ts";
import { replicaSetController } from "#controllers/replica-set.ts";
import { replicationControllerController } from "#controllers/replication-controller.ts";
import { resourceQuotaController } from "#controllers/resource-quota.ts";
import { roleAggregationController } from "#controllers/role-aggregation.ts";
import { rootCaController } from "#controllers/root-ca.ts";
import { serviceAllocationController } from "#controllers/service-allocation.ts";
import { serviceAccountTokenController } from "#controllers/service-account-token.ts";
import { serviceAccountController } from "#controllers/service-account.ts";
import { statefulSetController } from "#controllers/stateful-set.ts";
import { taintEvictionController } from "#controllers/taint-eviction.ts";
import { ttlAfterFinishedController } from "#controllers/ttl-after-finished.ts";
import { validatingPolicyStatusController } from "#controllers/validating-policy-status.ts";
import { volumeBinderController } from "#controllers/volume-binder.ts";
import { volumeExpanderController } from "#controllers/volume-expander.ts";
import { claimProtectionController, volumeProtectionController } from "#controllers/volume-protection.ts";
import type { ManagerOptions } from "./options.ts";

export function controllersFor(options: ManagerOptions, term: number): Controller[] {
  return [
    deploymentController,
    replicaSetController,
    statefulSetController,
    daemonSetController,
    replicationControllerController,
    jobController,
    cronJobController,
    ttlAfterFinishedController,
    disruptionController,
    horizontalAutoscalerController(),
    endpointsController,
    endpointSliceController,
    endpointSliceMirroringController,
    namespaceController,
    serviceAccountController,
    serviceAccountTokenController(options.rootCa),
    rootCaController(options.rootCa),
    garbageCollector,
    eventExpiryController,
    resourceQuotaController,
    roleAggregationController,
    volumeBinderController,
    claimProtectionController,
    volumeProtectionController,
    ephemeralVolumeController,
    attachDetachController(),
    volumeExpanderController,
    nodeLifecycleController(options),
    nodeIpamController(options.clusterCidr),
    taintEvictionController(),
    podGarbageCollector(),
    ...(options.certificates === undefined
      ? []
      : [certificateApprovingController, certificateSigningController]),
    certificateCleanerController,
    bootstrapTokenCleanerController,
    bootstrapSignerController,
    validatingPolicyStatusController,
    flowSchemaController,
    serviceAllocationController({
      serviceCidr: options.serviceCidr,
      nodePorts: options.nodePorts ?? { first: 30000, last: 32767 },
    }),
    leaderLeaseController(`${options.nodeName}_${term}`),
  ];
}
