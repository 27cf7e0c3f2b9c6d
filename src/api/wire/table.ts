/** Objects as rows of a meta.k8s.io Table, from the columns of their kind, and as metadata only. */
import type { KubeObject } from "#kinds/object.ts";
import type { Resource } from "../registry.ts";

export type IncludeObject = "Metadata" | "Object" | "None";

export interface TableOptions {
  /** meta.k8s.io/v1 or v1beta1. */
  apiVersion: string;
  include: IncludeObject;
  nowMs: number;
  metadata: Record<string, unknown>;
  /** False for the later events of a watch: their columns are known. */
  headers?: boolean;
}

export function tableOf(
  resource: Resource,
  objects: readonly KubeObject[],
  options: TableOptions,
): Record<string, unknown> {
  const { columns } = resource.kind;
  return {
    kind: "Table",
    apiVersion: options.apiVersion,
    metadata: options.metadata,
    columnDefinitions:
      options.headers === false
        ? null
        : columns.map((column) => ({
            name: column.name,
            type: column.type,
            format: column.format ?? "",
            description: column.description,
            priority: column.priority,
          })),
    rows: objects.map((object) => ({
      cells: columns.map((column) => column.cell(object, options.nowMs) ?? null),
      object: rowObject(object, options),
    })),
  };
}

function rowObject(object: KubeObject, options: TableOptions): unknown {
  switch (options.include) {
    case "Object":
      return object;
    case "Metadata":
      return partialMetadata(object, options.apiVersion);
    case "None":
      return null;
  }
}

export function partialMetadata(object: KubeObject, apiVersion: string): Record<string, unknown> {
  return { kind: "PartialObjectMetadata", apiVersion, metadata: object.metadata };
}
