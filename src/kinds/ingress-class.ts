/** IngressClass (networking.k8s.io/v1). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import { type FieldError, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { dnsLabelErrors, dnsSubdomainErrors, domainPathErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, withGeneration } from "./strategy.ts";

const schemaName = "io.k8s.api.networking.v1.IngressClass";

interface IngressClassObject extends KubeObject {
  spec: {
    controller?: string;
    parameters?: { apiGroup?: string; kind: string; name: string; scope?: string; namespace?: string };
  };
}

export const ingressClass = defineKind<IngressClassObject>({
  group: "networking.k8s.io",
  version: "v1",
  kind: "IngressClass",
  plural: "ingressclasses",
  singular: "ingressclass",
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  ...withGeneration<IngressClassObject>(["spec"]),
  applyDefaults({ spec }) {
    if (spec.parameters !== undefined) spec.parameters.scope ??= "Cluster";
  },
  validate: validateClass,
  validateUpdate: (object, old) => [
    ...(object.spec.controller === old.spec.controller
      ? []
      : [invalid("spec.controller", object.spec.controller ?? "", "field is immutable")]),
    ...validateClass(object),
  ],
  columns: [
    nameColumn,
    text("Controller", "Who serves the class.", ({ spec }) => spec.controller ?? ""),
    text("Parameters", "Parameters of the controller.", ({ spec }) => {
      const { parameters } = spec;
      if (parameters === undefined) return "<none>";
      return `${parameters.kind}${parameters.apiGroup === undefined ? "" : `.${parameters.apiGroup}`}/${parameters.name}`;
    }),
    ageColumn,
  ],
});

function validateClass({ spec }: IngressClassObject): FieldError[] {
  const { controller = "", parameters } = spec;
  const errors: FieldError[] = [];
  if (controller === "") errors.push(required("spec.controller"));
  else if (controller.length > 250)
    errors.push({
      reason: "FieldValueTooLong",
      field: "spec.controller",
      message: "Too long: may not be more than 250 bytes",
    });
  else
    errors.push(...domainPathErrors(controller).map((each) => invalid("spec.controller", controller, each)));
  if (parameters === undefined) return errors;
  const at = "spec.parameters";
  const { apiGroup, scope, namespace } = parameters;
  if (apiGroup !== undefined)
    errors.push(...dnsSubdomainErrors(apiGroup).map((each) => invalid(`${at}.apiGroup`, apiGroup, each)));
  if (!parameters.kind) errors.push(required(`${at}.kind`, "kind is required"));
  if (!parameters.name) errors.push(required(`${at}.name`, "name is required"));
  if (scope === undefined) return [...errors, required(`${at}.scope`)];
  if (scope !== "Cluster" && scope !== "Namespace")
    errors.push(notSupported(`${at}.scope`, scope, ["Cluster", "Namespace"]));
  if (scope === "Namespace") {
    if (namespace === undefined)
      errors.push(required(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'"));
    else errors.push(...dnsLabelErrors(namespace).map((each) => invalid(`${at}.namespace`, namespace, each)));
  }
  if (scope === "Cluster" && namespace !== undefined)
    errors.push(forbidden(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'"));
  return errors;
}
