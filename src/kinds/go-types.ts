/**
 * What OpenAPI does not tell of upstream's Go types and a client can see: which scalar fields are
 * pointers (their zero value is kept, others' zero values are left out), which lists are written
 * when they are nil, and the names of string types (they stand in decoding errors).
 * Keys are "Definition.property", the definition's last name only.
 */

const pointerStrings = `
MatchResources.matchPolicy MutatingWebhook.failurePolicy MutatingWebhook.matchPolicy MutatingWebhook.reinvocationPolicy
MutatingWebhook.sideEffects NamedRuleWithOperations.scope ParamRef.parameterNotFoundAction RuleWithOperations.scope
ServiceReference.path ValidatingAdmissionPolicySpec.failurePolicy ValidatingWebhook.failurePolicy
ValidatingWebhook.matchPolicy ValidatingWebhook.sideEffects Validation.reason WebhookClientConfig.url
HPAScalingRules.selectPolicy CronJobSpec.timeZone JobSpec.completionMode JobSpec.managedBy JobSpec.podReplacementPolicy
JobStatus.failedIndexes PodFailurePolicyOnExitCodesRequirement.containerName SuccessPolicyRule.succeededIndexes
LeaseSpec.holderIdentity LeaseSpec.preferredHolder LeaseSpec.strategy AppArmorProfile.localhostProfile
AzureDiskVolumeSource.cachingMode AzureDiskVolumeSource.fsType AzureDiskVolumeSource.kind
AzureFilePersistentVolumeSource.secretNamespace CSIVolumeSource.fsType ClusterTrustBundleProjection.name
ClusterTrustBundleProjection.signerName Container.restartPolicy EphemeralContainer.restartPolicy
EndpointAddress.nodeName EndpointPort.appProtocol Endpoint.hostname Endpoint.nodeName Endpoint.zone
GlusterfsPersistentVolumeSource.endpointsNamespace HostPathVolumeSource.type ISCSIPersistentVolumeSource.initiatorName
ISCSIVolumeSource.initiatorName LoadBalancerIngress.ipMode LocalVolumeSource.fsType
PersistentVolumeClaimSpec.storageClassName PersistentVolumeClaimSpec.volumeAttributesClassName
PersistentVolumeClaimSpec.volumeMode PersistentVolumeClaimStatus.currentVolumeAttributesClassName
PersistentVolumeSpec.volumeAttributesClassName PersistentVolumeSpec.volumeMode PodDNSConfigOption.value
PodResourceClaim.resourceClaimName PodResourceClaim.resourceClaimTemplateName PodSecurityContext.fsGroupChangePolicy
PodSecurityContext.seLinuxChangePolicy PodSecurityContext.supplementalGroupsPolicy PodSpec.preemptionPolicy
PodSpec.runtimeClassName PortStatus.error IngressPortStatus.error SeccompProfile.localhostProfile
SecurityContext.procMount ServicePort.appProtocol ServiceSpec.internalTrafficPolicy ServiceSpec.ipFamilyPolicy
ServiceSpec.loadBalancerClass ServiceSpec.trafficDistribution TopologySpreadConstraint.nodeAffinityPolicy
TopologySpreadConstraint.nodeTaintsPolicy TypedLocalObjectReference.apiGroup TypedObjectReference.apiGroup
TypedObjectReference.namespace VolumeMount.mountPropagation VolumeMount.recursiveReadOnly
VolumeMountStatus.recursiveReadOnly WindowsSecurityContextOptions.gmsaCredentialSpec
WindowsSecurityContextOptions.gmsaCredentialSpecName WindowsSecurityContextOptions.runAsUserName
HTTPIngressPath.pathType IngressClassParametersReference.apiGroup IngressClassParametersReference.namespace
IngressClassParametersReference.scope IngressSpec.ingressClassName NetworkPolicyPort.protocol
PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy PriorityClass.preemptionPolicy CSIDriverSpec.fsGroupPolicy
StorageClass.reclaimPolicy StorageClass.volumeBindingMode VolumeAttachmentSource.persistentVolumeName
DeleteOptions.propagationPolicy Preconditions.resourceVersion Preconditions.uid ExternalDocumentation.url
`;

/** Ports of EndpointSlices have pointers where those of Endpoints have not. */
const pointerStringsOfDefinition: Readonly<Record<string, readonly string[]>> = {
  "io.k8s.api.discovery.v1.EndpointPort": ["name", "protocol", "appProtocol"],
};

const valueBooleans = `
DeploymentSpec.paused TokenReviewStatus.authenticated SubjectAccessReviewStatus.denied
AWSElasticBlockStoreVolumeSource.readOnly AzureFilePersistentVolumeSource.readOnly AzureFileVolumeSource.readOnly
CSIPersistentVolumeSource.readOnly CephFSPersistentVolumeSource.readOnly CephFSVolumeSource.readOnly
CinderPersistentVolumeSource.readOnly CinderVolumeSource.readOnly Container.stdin Container.stdinOnce Container.tty
EphemeralContainer.stdin EphemeralContainer.stdinOnce EphemeralContainer.tty FCVolumeSource.readOnly
FlexPersistentVolumeSource.readOnly FlexVolumeSource.readOnly GCEPersistentDiskVolumeSource.readOnly
GlusterfsPersistentVolumeSource.readOnly GlusterfsVolumeSource.readOnly ISCSIPersistentVolumeSource.chapAuthDiscovery
ISCSIPersistentVolumeSource.chapAuthSession ISCSIPersistentVolumeSource.readOnly ISCSIVolumeSource.chapAuthDiscovery
ISCSIVolumeSource.chapAuthSession ISCSIVolumeSource.readOnly NFSVolumeSource.readOnly NodeSpec.unschedulable
PersistentVolumeClaimVolumeSource.readOnly PodSpec.hostIPC PodSpec.hostNetwork PodSpec.hostPID
PortworxVolumeSource.readOnly QuobyteVolumeSource.readOnly RBDPersistentVolumeSource.readOnly RBDVolumeSource.readOnly
ScaleIOPersistentVolumeSource.readOnly ScaleIOPersistentVolumeSource.sslEnabled ScaleIOVolumeSource.readOnly
ScaleIOVolumeSource.sslEnabled ServiceSpec.publishNotReadyAddresses StorageOSPersistentVolumeSource.readOnly
StorageOSVolumeSource.readOnly VolumeMount.readOnly VolumeMountStatus.readOnly ResourcePolicyRule.clusterScope
PriorityClass.globalDefault APIServiceSpec.insecureSkipTLSVerify CustomResourceDefinitionSpec.preserveUnknownFields
CustomResourceDefinitionVersion.deprecated JSONSchemaProps.exclusiveMaximum JSONSchemaProps.exclusiveMinimum
JSONSchemaProps.nullable JSONSchemaProps.uniqueItems JSONSchemaProps.x-kubernetes-embedded-resource
JSONSchemaProps.x-kubernetes-int-or-string
`;

const valueNumbers = `
ValidatingAdmissionPolicyStatus.observedGeneration DaemonSetSpec.minReadySeconds DaemonSetStatus.numberAvailable
DaemonSetStatus.numberUnavailable DaemonSetStatus.observedGeneration DaemonSetStatus.updatedNumberScheduled
DeploymentSpec.minReadySeconds DeploymentStatus.availableReplicas DeploymentStatus.observedGeneration
DeploymentStatus.readyReplicas DeploymentStatus.replicas DeploymentStatus.unavailableReplicas
DeploymentStatus.updatedReplicas ReplicaSetSpec.minReadySeconds ReplicaSetStatus.availableReplicas
ReplicaSetStatus.fullyLabeledReplicas ReplicaSetStatus.observedGeneration ReplicaSetStatus.readyReplicas
StatefulSetSpec.minReadySeconds StatefulSetStatus.currentReplicas StatefulSetStatus.observedGeneration
StatefulSetStatus.readyReplicas StatefulSetStatus.updatedReplicas ScaleSpec.replicas
HorizontalPodAutoscalerStatus.currentReplicas JobStatus.active JobStatus.failed JobStatus.succeeded
AWSElasticBlockStoreVolumeSource.partition ContainerImage.sizeBytes ContainerPort.hostPort ContainerStateTerminated.signal
Event.count Event.deprecatedCount EventSeries.count GCEPersistentDiskVolumeSource.partition Probe.failureThreshold
Probe.initialDelaySeconds Probe.periodSeconds Probe.successThreshold Probe.timeoutSeconds
ReplicationControllerSpec.minReadySeconds ReplicationControllerStatus.availableReplicas
ReplicationControllerStatus.fullyLabeledReplicas ReplicationControllerStatus.observedGeneration
ReplicationControllerStatus.readyReplicas ServicePort.nodePort ServiceSpec.healthCheckNodePort ServiceBackendPort.number
PodDisruptionBudgetStatus.observedGeneration Condition.observedGeneration ObjectMeta.generation Status.code
StatusDetails.retryAfterSeconds CustomResourceColumnDefinition.priority
`;

/** Lists that are written as null when nil although OpenAPI does not require them. */
const nullLists = [
  "EndpointSlice.ports",
  "ClusterRole.rules",
  "Role.rules",
  "MutatingWebhook.admissionReviewVersions",
  "HorizontalPodAutoscalerStatus.currentMetrics",
  "CSINodeDriver.topologyKeys",
];

/** Strings that are written as null when they are not set. */
const nullStrings = wordSet("TypedLocalObjectReference.apiGroup TypedObjectReference.apiGroup");

/** True where an absent string is written as null. */
export function isNullString(definition: string, property: string): boolean {
  return nullStrings.has(`${shortName(definition)}.${property}`);
}

/** Times that are not pointers: written as null when they are not set. */
const nullTimes = wordSet(`
creationTimestamp lastProbeTime lastTransitionTime lastHeartbeatTime lastUpdateTime firstTimestamp lastTimestamp
eventTime deprecatedFirstTimestamp deprecatedLastTimestamp lastObservedTime startedAt finishedAt
`);

/** True where an absent time is written as null. */
export function isNullTime(definition: string, property: string): boolean {
  return nullTimes.has(property) || (property === "time" && shortName(definition) === "VolumeError");
}

/** Go types of string fields. */
const stringTypes: Readonly<Record<string, string>> = {
  AddressType: "EndpointSlice.addressType",
  CompletionMode: "JobSpec.completionMode",
  ConcurrencyPolicy: "CronJobSpec.concurrencyPolicy",
  ConditionStatus:
    "PodFailurePolicyOnPodConditionsPattern.status PodCondition.status NodeCondition.status DeploymentCondition.status JobCondition.status",
  Capability: "Capabilities.add Capabilities.drop",
  DNSPolicy: "PodSpec.dnsPolicy",
  DaemonSetUpdateStrategyType: "DaemonSetUpdateStrategy.type",
  DeploymentStrategyType: "DeploymentStrategy.type",
  FSGroupPolicy: "CSIDriverSpec.fsGroupPolicy",
  FailurePolicyType:
    "MutatingWebhook.failurePolicy ValidatingWebhook.failurePolicy ValidatingAdmissionPolicySpec.failurePolicy",
  FinalizerName: "NamespaceSpec.finalizers",
  FlowDistinguisherMethodType: "FlowDistinguisherMethod.type",
  HostPathType: "HostPathVolumeSource.type",
  IPFamily: "ServiceSpec.ipFamilies",
  IPFamilyPolicy: "ServiceSpec.ipFamilyPolicy",
  KeyUsage: "CertificateSigningRequestSpec.usages",
  LabelSelectorOperator: "LabelSelectorRequirement.operator",
  LimitResponseType: "LimitResponse.type",
  LimitType: "LimitRangeItem.type",
  MatchPolicyType: "MutatingWebhook.matchPolicy ValidatingWebhook.matchPolicy MatchResources.matchPolicy",
  MountPropagationMode: "VolumeMount.mountPropagation",
  NamespacePhase: "NamespaceStatus.phase",
  NodeInclusionPolicy:
    "TopologySpreadConstraint.nodeAffinityPolicy TopologySpreadConstraint.nodeTaintsPolicy",
  NodeSelectorOperator: "NodeSelectorRequirement.operator",
  OSName: "PodOS.name",
  OperationType: "RuleWithOperations.operations NamedRuleWithOperations.operations",
  ParameterNotFoundActionType: "ParamRef.parameterNotFoundAction",
  PathType: "HTTPIngressPath.pathType",
  PersistentVolumeAccessMode: "PersistentVolumeClaimSpec.accessModes PersistentVolumeSpec.accessModes",
  PersistentVolumeClaimRetentionPolicyType:
    "StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled",
  PersistentVolumeMode: "PersistentVolumeClaimSpec.volumeMode PersistentVolumeSpec.volumeMode",
  PersistentVolumeReclaimPolicy:
    "PersistentVolumeSpec.persistentVolumeReclaimPolicy StorageClass.reclaimPolicy",
  PodConditionType:
    "PodFailurePolicyOnPodConditionsPattern.type PodReadinessGate.conditionType PodCondition.type",
  PodFSGroupChangePolicy: "PodSecurityContext.fsGroupChangePolicy",
  PodFailurePolicyAction: "PodFailurePolicyRule.action",
  PodFailurePolicyOnExitCodesOperator: "PodFailurePolicyOnExitCodesRequirement.operator",
  PodManagementPolicyType: "StatefulSetSpec.podManagementPolicy",
  PodPhase: "PodStatus.phase",
  PodReplacementPolicy: "JobSpec.podReplacementPolicy",
  PolicyType: "NetworkPolicySpec.policyTypes",
  PreemptionPolicy: "PodSpec.preemptionPolicy PriorityClass.preemptionPolicy",
  PriorityLevelEnablement: "PriorityLevelConfigurationSpec.type",
  ProcMountType: "SecurityContext.procMount",
  Protocol:
    "ContainerPort.protocol EndpointPort.protocol NetworkPolicyPort.protocol ServicePort.protocol PortStatus.protocol",
  PullPolicy: "Container.imagePullPolicy EphemeralContainer.imagePullPolicy",
  ReinvocationPolicyType: "MutatingWebhook.reinvocationPolicy",
  ResourceName:
    "ResourceMetricSource.name ContainerResourceMetricSource.name ContainerResizePolicy.resourceName",
  ResourceQuotaScope: "ResourceQuotaSpec.scopes ScopedResourceSelectorRequirement.scopeName",
  ResourceResizeRestartPolicy: "ContainerResizePolicy.restartPolicy",
  ResourceScope: "CustomResourceDefinitionSpec.scope",
  RestartPolicy: "PodSpec.restartPolicy",
  ContainerRestartPolicy: "Container.restartPolicy EphemeralContainer.restartPolicy",
  ScopeSelectorOperator: "ScopedResourceSelectorRequirement.operator",
  ScopeType: "RuleWithOperations.scope NamedRuleWithOperations.scope",
  SeccompProfileType: "SeccompProfile.type",
  SecretType: "Secret.type",
  ServiceAffinity: "ServiceSpec.sessionAffinity",
  ServiceExternalTrafficPolicy: "ServiceSpec.externalTrafficPolicy",
  ServiceInternalTrafficPolicy: "ServiceSpec.internalTrafficPolicy",
  ServiceType: "ServiceSpec.type",
  SideEffectClass: "MutatingWebhook.sideEffects ValidatingWebhook.sideEffects",
  StatefulSetUpdateStrategyType: "StatefulSetUpdateStrategy.type",
  StatusReason: "Validation.reason",
  StorageMedium: "EmptyDirVolumeSource.medium",
  SubjectKind: "Subject.kind",
  TaintEffect: "Taint.effect Toleration.effect",
  TerminationMessagePolicy: "Container.terminationMessagePolicy EphemeralContainer.terminationMessagePolicy",
  TolerationOperator: "Toleration.operator",
  URIScheme: "HTTPGetAction.scheme",
  UnhealthyPodEvictionPolicyType: "PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy",
  UnsatisfiableConstraintAction: "TopologySpreadConstraint.whenUnsatisfiable",
  ValidationAction: "ValidatingAdmissionPolicyBindingSpec.validationActions",
  VolumeBindingMode: "StorageClass.volumeBindingMode",
  VolumeLifecycleMode: "CSIDriverSpec.volumeLifecycleModes",
  HPAScalingPolicyType: "HPAScalingPolicy.type",
  MetricSourceType: "MetricSpec.type",
  MetricTargetType: "MetricTarget.type",
  ScalingPolicySelect: "HPAScalingRules.selectPolicy",
};

const pointers = wordSet(pointerStrings);
const values = wordSet(`${valueBooleans} ${valueNumbers}`);
const typeNames = new Map<string, string>();
for (const [type, fields] of Object.entries(stringTypes))
  for (const field of fields.split(/\s+/)) typeNames.set(field, type);

/** True where the zero value of this scalar property (without a default in its schema) is not written. */
export function omitsZero(definition: string, property: string, type: string): boolean {
  const key = `${shortName(definition)}.${property}`;
  if (type === "string")
    return !(pointers.has(key) || (pointerStringsOfDefinition[definition]?.includes(property) ?? false));
  return values.has(key);
}

/** True where a nil list is written as null although it is not required. */
export function writesNull(definition: string, property: string): boolean {
  return nullLists.includes(`${shortName(definition)}.${property}`);
}

/** "v1.Protocol" for a property with a named string type, "string" otherwise. */
export function stringTypeOf(definition: string, property: string): string {
  const short = shortName(definition);
  if (short === "ObjectReference" && property === "uid") return "types.UID";
  if (short === "ObjectMeta" && property === "uid") return "types.UID";
  if (short === "OwnerReference" && property === "uid") return "types.UID";
  // RBAC's Subject has a plain string kind, unlike flow control's.
  if (definition === "io.k8s.api.rbac.v1.Subject") return "string";
  const name = typeNames.get(`${short}.${property}`);
  // Names of resources are the core group's, whoever speaks of them.
  if (name === "ResourceName") return "v1.ResourceName";
  return name === undefined ? "string" : `${packageOf(definition)}.${name}`;
}

/** The Go package alias of a definition: its version ("v1"), or its package for unversioned ones ("resource"). */
export function packageOf(definition: string): string {
  return definition.split(".").at(-2) ?? "";
}

export function shortName(definition: string): string {
  return definition.slice(definition.lastIndexOf(".") + 1);
}

function wordSet(text: string): ReadonlySet<string> {
  return new Set(text.split(/\s+/).filter((word) => word !== ""));
}
