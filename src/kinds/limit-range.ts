/** LimitRange (v1). */
import { createdAtColumn, nameColumn } from "./columns.ts";
import type { LimitRangeItem } from "kubernetes-types/core/v1.d.ts";
import { limitRangeErrors } from "./limit-range-validation.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.LimitRange";

interface LimitRangeObject extends KubeObject {
  spec: { limits: LimitRangeItem[] | null };
}

export const limitRange = defineKind<LimitRangeObject>({
  group: "",
  version: "v1",
  kind: "LimitRange",
  plural: "limitranges",
  singular: "limitrange",
  shortNames: ["limits"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  createOnUpdate: true,
  prepareCreate({ metadata }, context) {
    // Upstream names a range that has no name.
    if (!metadata.name) metadata.name = context.newUid();
  },
  applyDefaults({ spec }) {
    for (const limit of spec.limits ?? []) {
      if (limit.type !== "Container") continue;
      limit.default = { ...limit.max, ...limit.default };
      limit.defaultRequest = { ...limit.min, ...limit.default, ...limit.defaultRequest };
    }
  },
  validate: ({ spec }) => limitRangeErrors(spec.limits ?? []),
  validateUpdate: ({ spec }) => limitRangeErrors(spec.limits ?? []),
  columns: [nameColumn, createdAtColumn],
});
