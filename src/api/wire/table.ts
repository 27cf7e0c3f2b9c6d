/** Objects as rows of a meta.k8s.io Table, from the columns of their kind, and as metadata only. */
import { createdAtColumn, nameColumn, scaleColumns } from "#kinds/columns.ts";
import type { AnyKind } from "#kinds/kind.ts";
import type { KubeObject } from "#kinds/object.ts";

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

type TableKind = Pick<AnyKind, "columns" | "versionAnnotations">;

/** The table of an object that is no stored kind: a Scale, or anything. */
export function plainTableKind(object: KubeObject): TableKind {
  return { columns: object.kind === "Scale" ? scaleColumns : [nameColumn, createdAtColumn] };
}

export function tableOf(
  kind: TableKind,
  objects: readonly KubeObject[],
  options: TableOptions,
): Record<string, unknown> {
  const { columns } = kind;
  // Upstream's table of kinds without columns of their own has no rows, not zero of them.
  const isEmptyDefault = objects.length === 0 && columns.includes(createdAtColumn);
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
    rows: isEmptyDefault
      ? null
      : objects.map((object) => ({
          cells: columns.map((column) => column.cell(object, options.nowMs) ?? null),
          object: rowObject(kind, object, options),
        })),
  };
}

function rowObject(kind: TableKind, object: KubeObject, options: TableOptions): unknown {
  switch (options.include) {
    case "Object":
      return object;
    case "Metadata":
      return partialMetadata(kind, object, options.apiVersion);
    case "None":
      return null;
  }
}

export function partialMetadata(
  kind: TableKind,
  object: KubeObject,
  apiVersion: string,
): Record<string, unknown> {
  return { kind: "PartialObjectMetadata", apiVersion, metadata: ownMetadata(kind, object.metadata) };
}

function ownMetadata(kind: TableKind, metadata: KubeObject["metadata"]): KubeObject["metadata"] {
  if (kind.versionAnnotations === undefined || metadata.annotations === undefined) return metadata;
  const { annotations, ...rest } = metadata;
  const kept = Object.entries(annotations).filter(([key]) => !kind.versionAnnotations?.includes(key));
  return kept.length === 0 ? rest : { ...rest, annotations: Object.fromEntries(kept) };
}
