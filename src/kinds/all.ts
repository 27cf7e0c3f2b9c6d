/** The registry: every kind that Trivet serves, in discovery's order of groups. The only list of kinds. */
import { apiService } from "./api-service.ts";
import { binding } from "./binding.ts";
import { certificateSigningRequest } from "./certificate-signing-request.ts";
import { clusterRole } from "./cluster-role.ts";
import { clusterRoleBinding } from "./cluster-role-binding.ts";
import { componentStatus } from "./component-status.ts";
import { configMap } from "./config-map.ts";
import { controllerRevision } from "./controller-revision.ts";
import { cronJob } from "./cron-job.ts";
import { csiDriver } from "./csi-driver.ts";
import { csiNode } from "./csi-node.ts";
import { csiStorageCapacity } from "./csi-storage-capacity.ts";
import { customResourceDefinition } from "./custom-resource-definition.ts";
import { daemonSet } from "./daemon-set.ts";
import { deployment } from "./deployment.ts";
import { endpointSlice } from "./endpoint-slice.ts";
import { endpoints } from "./endpoints.ts";
import { event } from "./event.ts";
import { eventEvents } from "./event-events.ts";
import { flowSchema } from "./flow-schema.ts";
import { horizontalPodAutoscaler } from "./horizontal-pod-autoscaler.ts";
import { horizontalPodAutoscalerV1 } from "./horizontal-pod-autoscaler-v1.ts";
import { ingress } from "./ingress.ts";
import { ingressClass } from "./ingress-class.ts";
import { job } from "./job.ts";
import { lease } from "./lease.ts";
import { limitRange } from "./limit-range.ts";
import { localSubjectAccessReview } from "./local-subject-access-review.ts";
import { mutatingWebhookConfiguration } from "./mutating-webhook-configuration.ts";
import { namespace } from "./namespace.ts";
import { networkPolicy } from "./network-policy.ts";
import { node } from "./node.ts";
import { persistentVolume } from "./persistent-volume.ts";
import { persistentVolumeClaim } from "./persistent-volume-claim.ts";
import { pod } from "./pod.ts";
import { podDisruptionBudget } from "./pod-disruption-budget.ts";
import { podTemplate } from "./pod-template.ts";
import { priorityClass } from "./priority-class.ts";
import { priorityLevelConfiguration } from "./priority-level-configuration.ts";
import { replicaSet } from "./replica-set.ts";
import { replicationController } from "./replication-controller.ts";
import { resourceQuota } from "./resource-quota.ts";
import { role } from "./role.ts";
import { roleBinding } from "./role-binding.ts";
import { runtimeClass } from "./runtime-class.ts";
import { secret } from "./secret.ts";
import { selfSubjectAccessReview } from "./self-subject-access-review.ts";
import { selfSubjectReview } from "./self-subject-review.ts";
import { selfSubjectRulesReview } from "./self-subject-rules-review.ts";
import { service } from "./service.ts";
import { serviceAccount } from "./service-account.ts";
import { statefulSet } from "./stateful-set.ts";
import { storageClass } from "./storage-class.ts";
import { subjectAccessReview } from "./subject-access-review.ts";
import { tokenReview } from "./token-review.ts";
import { validatingAdmissionPolicy } from "./validating-admission-policy.ts";
import { validatingAdmissionPolicyBinding } from "./validating-admission-policy-binding.ts";
import { validatingWebhookConfiguration } from "./validating-webhook-configuration.ts";
import { volumeAttachment } from "./volume-attachment.ts";
import type { AnyKind } from "./kind.ts";

export const allKinds: readonly AnyKind[] = [
  binding,
  componentStatus,
  configMap,
  endpoints,
  event,
  limitRange,
  namespace,
  node,
  persistentVolumeClaim,
  persistentVolume,
  pod,
  podTemplate,
  replicationController,
  resourceQuota,
  secret,
  serviceAccount,
  service,
  apiService,
  controllerRevision,
  daemonSet,
  deployment,
  replicaSet,
  statefulSet,
  eventEvents,
  selfSubjectReview,
  tokenReview,
  localSubjectAccessReview,
  selfSubjectAccessReview,
  selfSubjectRulesReview,
  subjectAccessReview,
  horizontalPodAutoscaler,
  horizontalPodAutoscalerV1,
  cronJob,
  job,
  certificateSigningRequest,
  ingressClass,
  ingress,
  networkPolicy,
  podDisruptionBudget,
  clusterRoleBinding,
  clusterRole,
  roleBinding,
  role,
  csiDriver,
  csiNode,
  csiStorageCapacity,
  storageClass,
  volumeAttachment,
  mutatingWebhookConfiguration,
  validatingAdmissionPolicy,
  validatingAdmissionPolicyBinding,
  validatingWebhookConfiguration,
  customResourceDefinition,
  priorityClass,
  lease,
  runtimeClass,
  endpointSlice,
  flowSchema,
  priorityLevelConfiguration,
];

const byResource = new Map(allKinds.map((kind) => [`${kind.group}/${kind.version}/${kind.plural}`, kind]));
const byName = new Map(allKinds.map((kind) => [`${kind.group}/${kind.version}/${kind.kind}`, kind]));

/** The kind of a resource in a path, for example ("apps", "v1", "deployments"). */
export function findKind(group: string, version: string, plural: string): AnyKind | undefined {
  return byResource.get(`${group}/${version}/${plural}`);
}

/** The kind with this name, for example ("apps", "v1", "Deployment"). */
export function findKindByName(group: string, version: string, kind: string): AnyKind | undefined {
  return byName.get(`${group}/${version}/${kind}`);
}
