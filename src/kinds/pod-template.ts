/** PodTemplate (v1). */
import { dropDisabledPodFields } from "./pod-spec.ts";
import type { PodTemplateSpec } from "kubernetes-types/core/v1.d.ts";
import { formatLabels, nameColumn, text } from "./columns.ts";
import { defineKind } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import { defaultPodTemplate, podTemplateWarnings, validatePodTemplate } from "./pod-template-spec.ts";
import { allVerbs, withGeneration } from "./strategy.ts";
import { containerImages, containerNames } from "./workload.ts";

interface PodTemplateObject extends KubeObject {
  template: PodTemplateSpec;
}

export const podTemplate = defineKind<PodTemplateObject>({
  group: "",
  version: "v1",
  kind: "PodTemplate",
  plural: "podtemplates",
  singular: "podtemplate",
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.PodTemplate",
  verbs: allVerbs,
  ...withGeneration<PodTemplateObject>(["template"]),
  dropDisabledFields: ({ template }) => dropDisabledPodFields(template?.spec),
  applyDefaults({ template }) {
    defaultPodTemplate(template);
  },
  validate: ({ template }) => validatePodTemplate(template, "template"),
  validateUpdate: ({ template }) => validatePodTemplate(template, "template"),
  warnings: ({ template }, old) => (old === undefined ? podTemplateWarnings(template, "template") : []),
  columns: [
    nameColumn,
    text("Containers", "Names of the containers.", ({ template }) => containerNames(template)),
    text("Images", "Images of the containers.", ({ template }) => containerImages(template)),
    text("Pod Labels", "Labels of the pods.", ({ template }) => formatLabels(template.metadata?.labels)),
  ],
});
