/**
 * The objects that the agent reads, typed: Kubernetes's published types joined with the shape that
 * every object shares. Nothing here exists at run time but the resource names.
 */
import type {
  Container,
  ContainerStatus,
  EphemeralContainer,
  EnvVar,
  PodCondition,
  PodSpec,
  PodStatus,
  Probe,
  ServiceSpec,
} from "kubernetes-types/core/v1.js";
import type { ResourceName } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";

export type {
  Container,
  ContainerStatus,
  EnvVar,
  EphemeralContainer,
  PodCondition,
  PodSpec,
  PodStatus,
  Probe,
};

export interface Pod extends KubeObject {
  spec: PodSpec;
  status?: PodStatus;
}

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
  binaryData?: Record<string, string>;
}

export interface Secret extends KubeObject {
  type?: string;
  data?: Record<string, string>;
}

export interface Service extends KubeObject {
  spec: ServiceSpec;
}

/** A container of any sort: regular, init or ephemeral. They share all that a runtime needs. */
export type AnyContainer = Container | EphemeralContainer;

export const pods: ResourceName = { group: "", version: "v1", plural: "pods" };
export const nodes: ResourceName = { group: "", version: "v1", plural: "nodes" };
export const configMaps: ResourceName = { group: "", version: "v1", plural: "configmaps" };
export const secrets: ResourceName = { group: "", version: "v1", plural: "secrets" };
export const services: ResourceName = { group: "", version: "v1", plural: "services" };
export const serviceAccounts: ResourceName = { group: "", version: "v1", plural: "serviceaccounts" };
export const persistentVolumes: ResourceName = { group: "", version: "v1", plural: "persistentvolumes" };
export const persistentVolumeClaims: ResourceName = {
  group: "",
  version: "v1",
  plural: "persistentvolumeclaims",
};
export const leases: ResourceName = { group: "coordination.k8s.io", version: "v1", plural: "leases" };
