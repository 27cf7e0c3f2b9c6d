/** ValidatingWebhookConfiguration (admissionregistration.k8s.io/v1). */
import { ageColumn, integer, nameColumn } from "./columns.ts";
import { type WebhookConfigurationObject, defaultWebhooks, validateWebhooks } from "./webhooks.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, withGeneration } from "./strategy.ts";

const schemaName = "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration";

export const validatingWebhookConfiguration = defineKind<WebhookConfigurationObject>({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "ValidatingWebhookConfiguration",
  plural: "validatingwebhookconfigurations",
  singular: "validatingwebhookconfiguration",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  unconditionalUpdate: false,
  ...withGeneration<WebhookConfigurationObject>(["webhooks"]),
  applyDefaults: ({ webhooks }) => defaultWebhooks(webhooks ?? [], false),
  validate: ({ webhooks }) => validateWebhooks(webhooks ?? []),
  validateUpdate: ({ webhooks }) => validateWebhooks(webhooks ?? []),
  columns: [
    nameColumn,
    integer("Webhooks", "Number of webhooks.", ({ webhooks }) => (webhooks ?? []).length),
    ageColumn,
  ],
});
