/**
 * The kinds that controllers read and write: their types, and a token for each resource that carries
 * its type, its path and the indexes that views have for it.
 */
import type * as admission from "kubernetes-types/admissionregistration/v1.d.ts";
import type * as apps from "kubernetes-types/apps/v1.d.ts";
import type * as autoscaling from "kubernetes-types/autoscaling/v2.d.ts";
import type * as batch from "kubernetes-types/batch/v1.d.ts";
import type * as certificates from "kubernetes-types/certificates/v1.d.ts";
import type * as coordination from "kubernetes-types/coordination/v1.d.ts";
import type * as core from "kubernetes-types/core/v1.d.ts";
import type * as flowcontrol from "kubernetes-types/flowcontrol/v1.d.ts";
import type * as discovery from "kubernetes-types/discovery/v1.d.ts";
import type { LabelSelector } from "kubernetes-types/meta/v1.d.ts";
import type * as policy from "kubernetes-types/policy/v1.d.ts";
import type * as rbac from "kubernetes-types/rbac/v1.d.ts";
import type * as storage from "kubernetes-types/storage/v1.d.ts";
import type { KubeObject, ObjectMeta } from "#kinds/object.ts";

/** An object as the server stores it: metadata is there, and so are spec and status where the kind has them. */
export type Stored<T> = Omit<T, "metadata" | "spec" | "status"> & { metadata: ObjectMeta } & (T extends {
    spec?: infer S;
  }
    ? { spec: NonNullable<S> }
    : unknown) &
  (T extends { status?: infer S } ? { status: NonNullable<S> } : unknown);

export interface Resource<T extends KubeObject = KubeObject> {
  group: string;
  version: string;
  plural: string;
  kind: string;
  namespaced: boolean;
  /** Never set; carries the type. */
  readonly object?: T;
}

export type Pod = Stored<core.Pod>;
export type PodSpec = core.PodSpec;
export type PodTemplateSpec = core.PodTemplateSpec;
export type Node = Stored<core.Node>;
export type Taint = core.Taint;
export type Toleration = core.Toleration;
export type Namespace = Stored<core.Namespace>;
export type Service = Stored<core.Service>;
export type Endpoints = Stored<core.Endpoints>;
export type EndpointSlice = Stored<discovery.EndpointSlice>;
export type ConfigMap = Stored<core.ConfigMap>;
export type Secret = Stored<core.Secret>;
export type ServiceAccount = Stored<core.ServiceAccount>;
export type Event = Stored<core.Event>;
export type ResourceQuota = Stored<core.ResourceQuota>;
export type PersistentVolume = Stored<core.PersistentVolume>;
export type PersistentVolumeClaim = Stored<core.PersistentVolumeClaim>;
export type ReplicationController = Stored<core.ReplicationController>;
export type Deployment = Stored<apps.Deployment>;
export type ReplicaSet = Stored<apps.ReplicaSet>;
export type StatefulSet = Stored<apps.StatefulSet>;
export type DaemonSet = Stored<apps.DaemonSet>;
export type ControllerRevision = Stored<apps.ControllerRevision>;
export type Job = Stored<batch.Job>;
export type CronJob = Stored<batch.CronJob>;
export type Lease = Stored<coordination.Lease>;
export type PodDisruptionBudget = Stored<policy.PodDisruptionBudget>;
export type ClusterRole = Stored<rbac.ClusterRole>;
export type CertificateSigningRequest = Stored<certificates.CertificateSigningRequest>;
export type StorageClass = Stored<storage.StorageClass>;
export type ValidatingAdmissionPolicy = Stored<admission.ValidatingAdmissionPolicy>;
export type CsiDriver = Stored<storage.CSIDriver>;
export type VolumeAttachment = Stored<storage.VolumeAttachment>;
export type FlowSchema = Stored<flowcontrol.FlowSchema>;
export type PriorityLevelConfiguration = Stored<flowcontrol.PriorityLevelConfiguration>;
export type HorizontalPodAutoscaler = Stored<autoscaling.HorizontalPodAutoscaler>;
export type { LabelSelector };

export const pods = resource<Pod>("", "v1", "pods", "Pod");
export const nodes = resource<Node>("", "v1", "nodes", "Node", false);
export const namespaces = resource<Namespace>("", "v1", "namespaces", "Namespace", false);
export const services = resource<Service>("", "v1", "services", "Service");
export const endpoints = resource<Endpoints>("", "v1", "endpoints", "Endpoints");
export const endpointSlices = resource<EndpointSlice>(
  "discovery.k8s.io",
  "v1",
  "endpointslices",
  "EndpointSlice",
);
export const configMaps = resource<ConfigMap>("", "v1", "configmaps", "ConfigMap");
export const secrets = resource<Secret>("", "v1", "secrets", "Secret");
export const serviceAccounts = resource<ServiceAccount>("", "v1", "serviceaccounts", "ServiceAccount");
export const events = resource<Event>("", "v1", "events", "Event");
export const resourceQuotas = resource<ResourceQuota>("", "v1", "resourcequotas", "ResourceQuota");
export const persistentVolumes = resource<PersistentVolume>(
  "",
  "v1",
  "persistentvolumes",
  "PersistentVolume",
  false,
);
export const persistentVolumeClaims = resource<PersistentVolumeClaim>(
  "",
  "v1",
  "persistentvolumeclaims",
  "PersistentVolumeClaim",
);
export const replicationControllers = resource<ReplicationController>(
  "",
  "v1",
  "replicationcontrollers",
  "ReplicationController",
);
export const deployments = resource<Deployment>("apps", "v1", "deployments", "Deployment");
export const replicaSets = resource<ReplicaSet>("apps", "v1", "replicasets", "ReplicaSet");
export const statefulSets = resource<StatefulSet>("apps", "v1", "statefulsets", "StatefulSet");
export const daemonSets = resource<DaemonSet>("apps", "v1", "daemonsets", "DaemonSet");
export const controllerRevisions = resource<ControllerRevision>(
  "apps",
  "v1",
  "controllerrevisions",
  "ControllerRevision",
);
export const jobs = resource<Job>("batch", "v1", "jobs", "Job");
export const cronJobs = resource<CronJob>("batch", "v1", "cronjobs", "CronJob");
export const leases = resource<Lease>("coordination.k8s.io", "v1", "leases", "Lease");
export const podDisruptionBudgets = resource<PodDisruptionBudget>(
  "policy",
  "v1",
  "poddisruptionbudgets",
  "PodDisruptionBudget",
);
export const clusterRoles = resource<ClusterRole>(
  "rbac.authorization.k8s.io",
  "v1",
  "clusterroles",
  "ClusterRole",
  false,
);
export const certificateSigningRequests = resource<CertificateSigningRequest>(
  "certificates.k8s.io",
  "v1",
  "certificatesigningrequests",
  "CertificateSigningRequest",
  false,
);
export const storageClasses = resource<StorageClass>(
  "storage.k8s.io",
  "v1",
  "storageclasses",
  "StorageClass",
  false,
);
export const validatingAdmissionPolicies = resource<ValidatingAdmissionPolicy>(
  "admissionregistration.k8s.io",
  "v1",
  "validatingadmissionpolicies",
  "ValidatingAdmissionPolicy",
  false,
);
export const csiDrivers = resource<CsiDriver>("storage.k8s.io", "v1", "csidrivers", "CSIDriver", false);
export const volumeAttachments = resource<VolumeAttachment>(
  "storage.k8s.io",
  "v1",
  "volumeattachments",
  "VolumeAttachment",
  false,
);
export const horizontalPodAutoscalers = resource<HorizontalPodAutoscaler>(
  "autoscaling",
  "v2",
  "horizontalpodautoscalers",
  "HorizontalPodAutoscaler",
);
export const flowSchemas = resource<FlowSchema>(
  "flowcontrol.apiserver.k8s.io",
  "v1",
  "flowschemas",
  "FlowSchema",
  false,
);
export const priorityLevelConfigurations = resource<PriorityLevelConfiguration>(
  "flowcontrol.apiserver.k8s.io",
  "v1",
  "prioritylevelconfigurations",
  "PriorityLevelConfiguration",
  false,
);

function resource<T extends KubeObject>(
  group: string,
  version: string,
  plural: string,
  kind: string,
  namespaced = true,
): Resource<T> {
  return { group, version, plural, kind, namespaced };
}

export function apiVersionOf(of: Resource): string {
  return of.group === "" ? of.version : `${of.group}/${of.version}`;
}
