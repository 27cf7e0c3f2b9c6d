/** CustomResourceDefinition (apiextensions.k8s.io/v1) as far as the server itself reads it. */
import type { KubeObject } from "#kinds/object.ts";
import type { Schema } from "#kinds/schema.ts";
import type { WebhookTarget } from "#api/webhooks/webhook-client.ts";

export interface CustomNames {
  plural: string;
  singular?: string;
  kind: string;
  listKind?: string;
  shortNames?: string[];
  categories?: string[];
}

export interface PrinterColumn {
  name: string;
  type: "string" | "integer" | "number" | "boolean" | "date";
  format?: string;
  description?: string;
  priority?: number;
  jsonPath: string;
}

export interface CustomVersion {
  name: string;
  served: boolean;
  storage: boolean;
  deprecated?: boolean;
  deprecationWarning?: string;
  schema?: { openAPIV3Schema?: Schema };
  subresources?: {
    status?: Record<string, never>;
    scale?: { specReplicasPath?: string; statusReplicasPath?: string; labelSelectorPath?: string };
  };
  additionalPrinterColumns?: PrinterColumn[];
  selectableFields?: { jsonPath: string }[];
}

export interface CrdCondition {
  type: string;
  status: "True" | "False" | "Unknown";
  lastTransitionTime?: string;
  reason?: string;
  message?: string;
}

export interface CustomResourceDefinition extends KubeObject {
  spec: {
    group: string;
    names: CustomNames;
    scope: "Namespaced" | "Cluster";
    versions: CustomVersion[];
    conversion?: {
      strategy: string;
      webhook?: { clientConfig?: WebhookTarget; conversionReviewVersions?: string[] };
    };
    preserveUnknownFields?: boolean;
  };
  status?: {
    conditions?: CrdCondition[] | null;
    acceptedNames?: CustomNames;
    storedVersions?: string[] | null;
  };
}

export const cleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";

export function conditionOf(crd: CustomResourceDefinition, type: string): CrdCondition | undefined {
  return crd.status?.conditions?.find((each) => each.type === type);
}

export function isEstablished(crd: CustomResourceDefinition): boolean {
  return conditionOf(crd, "Established")?.status === "True";
}
