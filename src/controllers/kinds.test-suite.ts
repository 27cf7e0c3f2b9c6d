/** For tests: kinds by their names, with their schemas and a controller's token for each. */
import { allKinds } from "#kinds/all.ts";
import type { AnyKind } from "#kinds/kind.ts";
import type { Schema } from "#kinds/schema.ts";
import { findSchema } from "#kinds/schemas.ts";
import type { Resource } from "./kubernetes.ts";

export interface KnownKind {
  kind: AnyKind;
  schema: Schema | undefined;
  resource: Resource;
}

const byName = new Map<string, KnownKind>();
for (const kind of allKinds) {
  // Of kinds with several versions (events, autoscalers) the newest is the one that controllers use.
  const known = byName.get(kind.kind);
  if (known !== undefined && known.kind.group === kind.group && known.kind.version > kind.version) continue;
  if (kind.group === "events.k8s.io") continue;
  const { group, version, plural, namespaced } = kind;
  byName.set(kind.kind, {
    kind,
    schema: findSchema(kind.schemaName),
    resource: { group, version, plural, kind: kind.kind, namespaced },
  });
}

// The add-on "metrics" serves them: they are no kind of the API server's own.
byName.set("PodMetrics", {
  kind: { namespaced: true } as AnyKind,
  schema: undefined,
  resource: {
    group: "metrics.k8s.io",
    version: "v1beta1",
    plural: "pods",
    kind: "PodMetrics",
    namespaced: true,
  },
});

export function findKind(name: string | undefined): KnownKind | undefined {
  return byName.get(name ?? "");
}
