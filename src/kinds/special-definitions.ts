/** Definitions whose values are no structs of named fields: times, quantities, and JSON of several forms. */
export const opaque: ReadonlySet<string> = new Set([
  "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
  "io.k8s.apimachinery.pkg.runtime.RawExtension",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
]);
export const jsonSchemaProps = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
/** JSON that is either a schema or something else (`items`, `additionalProperties`, `dependencies`). */
export const schemaUnions: ReadonlySet<string> = new Set(
  ["JSONSchemaPropsOrBool", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrStringArray"].map((name) =>
    jsonSchemaProps.replace("JSONSchemaProps", name),
  ),
);
export const timeNames: Readonly<Record<string, "date-time" | "micro-time">> = {
  "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "date-time",
  "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "micro-time",
};
export const quantityName = "io.k8s.apimachinery.pkg.api.resource.Quantity";
export const intOrStringName = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
