/** Pod (v1). */
import { nameRule, dnsSubdomainErrors } from "./names.ts";
import { type FieldError, forbidden, invalid } from "./field-error.ts";
import { imageSpaceErrors } from "./container.ts";
import { defineKind } from "./kind.ts";
import { type PodObject, podColumns } from "./pod-columns.ts";
import { qosClassOf } from "./pod-requests.ts";
import { defaultPodSpec, validatePodSpec, dropDisabledPodFields } from "./pod-spec.ts";
import { podAnnotationErrors, syncAppArmor } from "./pod-template-spec.ts";
import {
  prepareEphemeralContainers,
  preparePodStatus,
  validateEphemeralContainersUpdate,
  validatePodStatusUpdate,
  validatePodUpdate,
} from "./pod-update.ts";
import { hostnameWarnings, podSpecWarnings } from "./pod-warnings.ts";
import { defaultRequests } from "./resource-list.ts";
import { allVerbs, createOnly, keepField, objectVerbs, proxyVerbs } from "./strategy.ts";

export const pod = defineKind<PodObject>({
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  singular: "pod",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.Pod",
  verbs: allVerbs,
  validateName: nameRule(dnsSubdomainErrors),
  deletion: {
    gracePeriodSeconds({ spec, status }) {
      // A pod that no node has, or that is over, is gone at once.
      if (!spec.nodeName || status?.phase === "Failed" || status?.phase === "Succeeded") return 0;
      return spec.terminationGracePeriodSeconds;
    },
  },
  applyDefaults(object) {
    const { spec } = object;
    defaultPodSpec(spec);
    spec.enableServiceLinks ??= true;
    for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])])
      defaultRequests(container.resources);
  },
  dropDisabledFields: ({ spec }) => dropDisabledPodFields(spec),
  prepareCreate(object, context) {
    if ((object.spec.terminationGracePeriodSeconds ?? 0) < 0) object.spec.terminationGracePeriodSeconds = 1;
    syncAppArmor(object, (text) => context.warn(text));
    object.status = { phase: "Pending", qosClass: qosClassOf(object.spec) };
    if ((object.spec.schedulingGates ?? []).length > 0)
      object.status.conditions = [
        {
          type: "PodScheduled",
          status: "False",
          lastTransitionTime: context.now,
          reason: "SchedulingGated",
          message: "Scheduling is blocked due to non-empty scheduling gates",
        },
      ];
  },
  prepareUpdate(object, old) {
    keepField(object, old, "status");
  },
  validate: validatePod,
  validateUpdate(object, old) {
    return [...validatePod(object, { update: true }), ...validatePodUpdate(object, old)];
  },
  warnings(object, old) {
    if (old !== undefined) return [];
    return [
      ...hostnameWarnings(object.metadata.name ?? "", "this is used in the Pod's hostname"),
      ...podSpecWarnings(object.spec, object.metadata.annotations, ""),
    ];
  },
  subresources: {
    attach: { speaks: { group: "", version: "v1", kind: "PodAttachOptions" }, verbs: ["create", "get"] },
    binding: { speaks: { group: "", version: "v1", kind: "Binding" }, verbs: createOnly },
    ephemeralcontainers: {
      verbs: objectVerbs,
      prepareUpdate: prepareEphemeralContainers,
      validateUpdate: validateEphemeralContainersUpdate,
    },
    eviction: { speaks: { group: "policy", version: "v1", kind: "Eviction" }, verbs: createOnly },
    exec: { speaks: { group: "", version: "v1", kind: "PodExecOptions" }, verbs: ["create", "get"] },
    log: { verbs: ["get"] },
    portforward: {
      speaks: { group: "", version: "v1", kind: "PodPortForwardOptions" },
      verbs: ["create", "get"],
    },
    proxy: { speaks: { group: "", version: "v1", kind: "PodProxyOptions" }, verbs: proxyVerbs },
    status: { verbs: objectVerbs, prepareUpdate: preparePodStatus, validateUpdate: validatePodStatusUpdate },
  },
  fieldSelectors: {
    "spec.nodeName": ({ spec }) => spec.nodeName ?? "",
    "spec.restartPolicy": ({ spec }) => spec.restartPolicy ?? "",
    "spec.schedulerName": ({ spec }) => spec.schedulerName ?? "",
    "spec.serviceAccountName": ({ spec }) => spec.serviceAccountName ?? "",
    "spec.hostNetwork": ({ spec }) => String(spec.hostNetwork ?? false),
    "status.phase": ({ status }) => status?.phase ?? "",
    "status.podIP": ({ status }) => status?.podIPs?.[0]?.ip ?? status?.podIP ?? "",
    "status.nominatedNodeName": ({ status }) => status?.nominatedNodeName ?? "",
  },
  columns: podColumns,
  resetFields: ["status"],
});

function validatePod(object: PodObject, options: { update?: boolean } = {}): FieldError[] {
  const { metadata, spec } = object;
  const errors: FieldError[] = [];
  const annotations = metadata.annotations ?? {};
  if (annotations["kubernetes.io/config.mirror"] !== undefined && !spec.nodeName)
    errors.push(
      invalid(
        "metadata.annotations[kubernetes.io/config.mirror]",
        annotations["kubernetes.io/config.mirror"],
        "must set spec.nodeName if mirror pod annotation is set",
      ),
    );
  errors.push(
    ...podAnnotationErrors(metadata.annotations, spec, "metadata.annotations"),
    ...validatePodSpec(spec, metadata.name ?? "", "spec"),
    ...tokenVolumeErrors(spec),
    ...imageSpaceErrors(spec.containers, "spec.containers"),
    ...imageSpaceErrors(spec.initContainers, "spec.initContainers"),
  );
  if (options.update === true) return errors;
  if ((spec.ephemeralContainers ?? []).length > 0)
    errors.push(forbidden("spec.ephemeralContainers", "cannot be set on create"));
  if (spec.nodeName && (spec.schedulingGates ?? []).length > 0)
    errors.push(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"));
  return errors;
}

/** Without a service account there is nobody to issue a token to. */
function tokenVolumeErrors(spec: PodObject["spec"]): FieldError[] {
  if (spec.serviceAccountName) return [];
  return (spec.volumes ?? []).flatMap((volume, index) =>
    (volume.projected?.sources ?? []).flatMap((source, position) =>
      source.serviceAccountToken === undefined
        ? []
        : [
            forbidden(
              `spec.volumes[${index}].projected.sources[${position}].serviceAccountToken`,
              "must not be specified when serviceAccountName is not set",
            ),
          ],
    ),
  );
}
