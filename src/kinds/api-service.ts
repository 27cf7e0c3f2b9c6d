/** APIService (apiregistration.k8s.io/v1). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import { type FieldError, invalid, required } from "./field-error.ts";
import { dns1035LabelErrors, dnsSubdomainErrors, pathSegmentErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService";

interface ApiServiceObject extends KubeObject {
  spec: {
    service?: { namespace?: string; name?: string; port?: number };
    group?: string;
    version?: string;
    insecureSkipTLSVerify?: boolean;
    caBundle?: string;
    groupPriorityMinimum: number;
    versionPriority: number;
  };
  status?: { conditions?: { type: string; status: string; reason?: string }[] };
}

const status = withStatus<ApiServiceObject>(schemaName, { generation: false });

export const apiService = defineKind<ApiServiceObject>({
  group: "apiregistration.k8s.io",
  version: "v1",
  kind: "APIService",
  plural: "apiservices",
  singular: "apiservice",
  categories: ["api-extensions"],
  namespaced: false,
  validateName: pathSegmentErrors,
  schemaName,
  verbs: allVerbs,
  unconditionalUpdate: false,
  ...status,
  prepareCreate(object, context) {
    status.prepareCreate(object, context);
    if (object.spec.service !== undefined) return;
    const condition = {
      type: "Available",
      status: "True",
      lastTransitionTime: context.now,
      reason: "Local",
      message: "Local APIServices are always available",
    };
    object.status = { conditions: [condition] };
  },
  subresources: {
    status: statusSubresource(),
  },
  applyDefaults({ spec }) {
    if (spec.service !== undefined) spec.service.port ??= 443;
  },
  validate: validateService,
  validateUpdate: validateService,
  columns: [
    nameColumn,
    text("Service", "Service that serves the version.", ({ spec }) =>
      spec.service === undefined ? "Local" : `${spec.service.namespace}/${spec.service.name}`,
    ),
    text("Available", "Whether the version is served.", ({ status }) => {
      const condition = status?.conditions?.find((each) => each.type === "Available");
      if (condition === undefined) return "";
      return condition.status === "True" ? "True" : `${condition.status} (${condition.reason ?? ""})`;
    }),
    ageColumn,
  ],
});

function validateService({ metadata, spec }: ApiServiceObject): FieldError[] {
  const { group = "", version = "", service } = spec;
  const errors: FieldError[] = [];
  const expected = `${version}.${group}`;
  const name = metadata.name ?? "";
  if (name !== "" && pathSegmentErrors(name).length === 0 && name !== expected)
    errors.push(
      invalid(
        "metadata.name",
        metadata.name ?? "",
        `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(expected)}`,
      ),
    );
  if (group === "") {
    if (version !== "v1")
      errors.push(required("spec.group", "only v1 may have an empty group and it better be legacy kube"));
  } else errors.push(...dnsSubdomainErrors(group).map((each) => invalid("spec.group", group, each)));
  errors.push(...dns1035LabelErrors(version).map((each) => invalid("spec.version", version, each)));
  if (spec.groupPriorityMinimum <= 0 || spec.groupPriorityMinimum > 20000)
    errors.push(
      invalid("spec.groupPriorityMinimum", spec.groupPriorityMinimum, "must be positive and less than 20000"),
    );
  if (spec.versionPriority <= 0 || spec.versionPriority > 1000)
    errors.push(invalid("spec.versionPriority", spec.versionPriority, "must be positive and less than 1000"));
  if (service === undefined) {
    if (spec.caBundle)
      errors.push(
        invalid(
          "spec.caBundle",
          `${spec.caBundle.length} bytes`,
          "local APIServices may not have a caBundle",
        ),
      );
    if (spec.insecureSkipTLSVerify === true)
      errors.push(
        invalid("spec.insecureSkipTLSVerify", true, "local APIServices may not have insecureSkipTLSVerify"),
      );
    return errors;
  }
  if (!service.namespace) errors.push(required("spec.service.namespace"));
  if (!service.name) errors.push(required("spec.service.name"));
  const port = service.port ?? 443;
  if (port < 1 || port > 65535)
    errors.push(
      invalid("spec.service.port", port, "port is not valid: must be between 1 and 65535, inclusive"),
    );
  if (spec.insecureSkipTLSVerify === true && spec.caBundle)
    errors.push(invalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present"));
  return errors;
}
