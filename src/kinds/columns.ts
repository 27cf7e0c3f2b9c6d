/** Building blocks of tables: what `kubectl get` shows (k8s.io/kubernetes, pkg/printers/internalversion). */
import type { Column } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { formatAge } from "./time.ts";

export const nameColumn: Column = {
  name: "Name",
  type: "string",
  format: "name",
  description:
    "Name must be unique within a namespace. It is set by the user or generated, and can't be changed.",
  priority: 0,
  cell: (object) => object.metadata.name ?? "",
};

export const ageColumn: Column = {
  name: "Age",
  type: "string",
  description: "Time since the object was created.",
  priority: 0,
  cell: (object, nowMs) => formatAge(object.metadata.creationTimestamp, nowMs),
};

export const createdAtColumn: Column = {
  name: "Created At",
  type: "date",
  description: "Time at which the object was created.",
  priority: 0,
  cell: (object) => object.metadata.creationTimestamp ?? "<unknown>",
};

/** Columns of a Scale, whatever it scales. */
export const scaleColumns: readonly Column[] = [
  { ...nameColumn, format: "" },
  integer("Desired", "Replicas wanted.", (object) => replicasIn(object["spec"])),
  integer("Available", "Replicas that exist.", (object) => replicasIn(object["status"])),
  ageColumn,
];

function replicasIn(value: unknown): number {
  return (value as { replicas?: number } | undefined)?.replicas ?? 0;
}

/** A text column that is always shown. */
export function text<T extends KubeObject>(
  name: string,
  description: string,
  cell: (object: T, nowMs: number) => string,
): Column<T> {
  return { name, type: "string", description, priority: 0, cell };
}

/** A text column that only `-o wide` shows. */
export function wide<T extends KubeObject>(
  name: string,
  description: string,
  cell: (object: T, nowMs: number) => string,
): Column<T> {
  return { name, type: "string", description, priority: 1, cell };
}

export function integer<T extends KubeObject>(
  name: string,
  description: string,
  cell: (object: T) => number,
): Column<T> {
  return { name, type: "integer", description, priority: 0, cell };
}

export function boolean<T extends KubeObject>(
  name: string,
  description: string,
  cell: (object: T) => boolean,
): Column<T> {
  return { name, type: "boolean", description, priority: 0, cell };
}

/** The printers' word for an empty value. */
export function orNone(value: string | undefined | null): string {
  return value === undefined || value === null || value === "" ? "<none>" : value;
}

export function orUnset(value: string | undefined | null): string {
  return value === undefined || value === null || value === "" ? "<unset>" : value;
}

/** Labels as "a=b,c=d", sorted by key; "<none>" when empty. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const entries = Object.entries(labels ?? {}).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return orNone(entries.map(([key, value]) => `${key}=${value}`).join(","));
}
