/** ValidatingAdmissionPolicyBinding (admissionregistration.k8s.io/v1). */
import { type FieldError, duplicate, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { type LabelSelector, validateLabelSelector } from "./label-selector.ts";
import { dnsSubdomainErrors, pathSegmentErrors } from "./names.ts";
import { type MatchResources, defaultMatchResources, validateMatchResources } from "./policy-rules.ts";
import { ageColumn, nameColumn, text } from "./columns.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, withGeneration } from "./strategy.ts";

const schemaName = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding";

interface PolicyBindingObject extends KubeObject {
  spec: {
    policyName?: string;
    paramRef?: {
      name?: string;
      namespace?: string;
      selector?: LabelSelector;
      parameterNotFoundAction?: string;
    };
    matchResources?: MatchResources;
    validationActions?: string[] | null;
  };
}

const actions = ["Audit", "Deny", "Warn"];

export const validatingAdmissionPolicyBinding = defineKind<PolicyBindingObject>({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "ValidatingAdmissionPolicyBinding",
  plural: "validatingadmissionpolicybindings",
  singular: "validatingadmissionpolicybinding",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  unconditionalUpdate: false,
  ...withGeneration<PolicyBindingObject>(["spec"]),
  applyDefaults({ spec }) {
    defaultMatchResources(spec.matchResources);
  },
  validate: validateBinding,
  validateUpdate: validateBinding,
  columns: [
    nameColumn,
    text("PolicyName", "Policy that is bound.", ({ spec }) => spec.policyName ?? ""),
    text("ParamRef", "Parameters of the policy.", ({ spec }) => {
      if (spec.paramRef === undefined) return "<unset>";
      const { name = "", namespace = "*" } = spec.paramRef;
      return name === "" ? "*" : `${namespace}/${name}`;
    }),
    ageColumn,
  ],
});

function validateBinding({ spec }: PolicyBindingObject): FieldError[] {
  const { policyName = "", paramRef, matchResources, validationActions } = spec;
  const errors: FieldError[] = [];
  if (policyName === "") errors.push(required("spec.policyName"));
  else
    errors.push(
      ...dnsSubdomainErrors(policyName).map((each) => invalid("spec.policyName", policyName, each)),
    );
  if (paramRef !== undefined) errors.push(...paramRefErrors(paramRef));
  if (matchResources !== undefined)
    errors.push(...validateMatchResources(matchResources, "spec.matchResources"));
  const given = validationActions ?? [];
  const at = "spec.validationActions";
  if (given.length === 0) errors.push(required(at, "at least one validation action is required"));
  for (const [index, each] of given.entries()) {
    if (!actions.includes(each)) errors.push(notSupported(`${at}[${index}]`, each, actions));
    if (given.indexOf(each) < index) errors.push(duplicate(`${at}[${index}]`, each));
  }
  if (given.includes("Deny") && given.includes("Warn"))
    errors.push(
      invalid(
        at,
        {
          goSyntax: `[]admissionregistration.ValidationAction{${given.map((each) => JSON.stringify(each)).join(", ")}}`,
        },
        "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
      ),
    );
  return errors;
}

function paramRefErrors(ref: NonNullable<PolicyBindingObject["spec"]["paramRef"]>): FieldError[] {
  const { name = "", selector, parameterNotFoundAction: action = "" } = ref;
  const at = "spec.paramRef";
  const errors: FieldError[] = [];
  if (name !== "") {
    errors.push(...pathSegmentErrors(name).map((each) => invalid(`${at}.name`, name, each)));
    if (selector !== undefined)
      errors.push(forbidden(`${at}.name`, "name and selector are mutually exclusive"));
  } else if (selector === undefined) errors.push(required(at, "one of name or selector must be specified"));
  else errors.push(...validateLabelSelector(selector, `${at}.selector`));
  if (action === "") errors.push(required(`${at}.parameterNotFoundAction`));
  else if (action !== "Allow" && action !== "Deny")
    errors.push(notSupported(`${at}.parameterNotFoundAction`, action, ["Deny", "Allow"]));
  return errors;
}
