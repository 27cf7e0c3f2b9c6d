/** ServiceAccount (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs, createOnly } from "./strategy.ts";

interface ServiceAccountObject extends KubeObject {
  secrets?: { name?: string }[];
}

export const serviceAccount = defineKind<ServiceAccountObject>({
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  singular: "serviceaccount",
  shortNames: ["sa"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.ServiceAccount",
  verbs: allVerbs,
  subresources: {
    token: {
      speaks: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" },
      verbs: createOnly,
    },
  },
  columns: [
    nameColumn,
    {
      name: "Secrets",
      type: "string",
      description: "Number of listed secrets.",
      priority: 0,
      cell: ({ secrets }) => (secrets ?? []).length,
    },
    ageColumn,
  ],
});
