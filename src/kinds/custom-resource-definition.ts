/** CustomResourceDefinition (apiextensions.k8s.io/v1). The structural rules of its schemas are checked by the API. */
import { createdAtColumn, nameColumn } from "./columns.ts";
import { type FieldError, invalid, notSupported, required } from "./field-error.ts";
import { defineKind } from "./kind.ts";
import { dns1035LabelErrors, dnsSubdomainErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";
const status = withStatus<DefinitionObject>(schemaName);

interface Names {
  plural: string;
  singular?: string;
  kind: string;
  listKind?: string;
  shortNames?: string[];
  categories?: string[];
}

interface DefinitionObject extends KubeObject {
  spec: {
    group: string;
    names: Names;
    scope: string;
    versions: { name: string; served: boolean; storage: boolean }[] | null;
    conversion?: { strategy: string; webhook?: { clientConfig?: { service?: { port?: number } } } };
  };
  status?: { storedVersions?: string[] | null };
}

export const customResourceDefinition = defineKind<DefinitionObject>({
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  plural: "customresourcedefinitions",
  singular: "customresourcedefinition",
  shortNames: ["crd", "crds"],
  categories: ["api-extensions"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  unconditionalUpdate: false,
  ...status,
  applyDefaults({ spec }) {
    const { names } = spec;
    if (names.kind && !names.singular) names.singular = names.kind.toLowerCase();
    if (names.kind && !names.listKind) names.listKind = `${names.kind}List`;
    spec.conversion ??= { strategy: "None" };
    const service = spec.conversion.webhook?.clientConfig?.service;
    if (service !== undefined) service.port ??= 443;
  },
  prepareCreate(object, context) {
    status.prepareCreate(object, context);
    const stored = (object.spec.versions ?? []).filter((each) => each.storage).map((each) => each.name);
    object.status = { ...object.status, storedVersions: stored };
  },
  prepareUpdate(object, old, context) {
    status.prepareUpdate(object, old, context);
    const stored = object.spec.versions?.find((each) => each.storage)?.name;
    const before = object.status?.storedVersions ?? [];
    if (stored !== undefined && !before.includes(stored))
      object.status = { ...object.status, storedVersions: [...before, stored] };
  },
  validate: validateDefinition,
  validateUpdate(object, old) {
    const errors: FieldError[] = [];
    const immutable = (path: string, value: string, before: string): void => {
      if (value !== before) errors.push(invalid(path, value, "field is immutable"));
    };
    immutable("spec.scope", object.spec.scope, old.spec.scope);
    immutable("spec.names.kind", object.spec.names.kind, old.spec.names.kind);
    immutable("spec.group", object.spec.group, old.spec.group);
    immutable("spec.names.plural", object.spec.names.plural, old.spec.names.plural);
    return [...validateDefinition(object), ...errors];
  },
  subresources: { status: statusSubresource() },
  columns: [nameColumn, createdAtColumn],
});

function validateDefinition({ metadata, spec }: DefinitionObject): FieldError[] {
  const errors: FieldError[] = [];
  const { names, group, scope } = spec;
  if (metadata.name !== `${names.plural}.${group}`)
    errors.push(invalid("metadata.name", metadata.name ?? "", 'must be spec.names.plural+"."+spec.group'));
  if (group === "") errors.push(required("spec.group"));
  else {
    errors.push(...dnsSubdomainErrors(group).map((each) => invalid("spec.group", group, each)));
    if (!group.includes("."))
      errors.push(invalid("spec.group", group, "should be a domain with at least one dot"));
  }
  if (scope === "") errors.push(required("spec.scope"));
  else if (scope !== "Cluster" && scope !== "Namespaced")
    errors.push(notSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  const versions = spec.versions ?? [];
  if (versions.filter((each) => each.storage).length !== 1)
    errors.push(
      invalid(
        "spec.versions",
        { goSyntax: goVersions(spec.versions) },
        "must have exactly one version marked as storage version",
      ),
    );
  for (const [index, { name }] of versions.entries())
    errors.push(
      ...dns1035LabelErrors(name).map((each) => invalid(`spec.versions[${index}].name`, name, each)),
    );
  for (const field of ["plural", "singular", "kind", "listKind"] as const) {
    const value = names[field] ?? "";
    if (value === "") errors.push(required(`spec.names.${field}`));
    else
      errors.push(
        ...dns1035LabelErrors(value.toLowerCase()).map((each) => invalid(`spec.names.${field}`, value, each)),
      );
  }
  if (names.kind && names.kind === names.listKind)
    errors.push(invalid("spec.names.listKind", names.listKind, "kind and listKind may not be the same"));
  for (const field of ["shortNames", "categories"] as const)
    for (const [index, each] of (names[field] ?? []).entries())
      errors.push(
        ...dns1035LabelErrors(each).map((text) => invalid(`spec.names.${field}[${index}]`, each, text)),
      );
  return errors;
}

function goVersions(versions: readonly unknown[] | null): string {
  return versions === null
    ? "[]apiextensions.CustomResourceDefinitionVersion(nil)"
    : "[]apiextensions.CustomResourceDefinitionVersion{}";
}
