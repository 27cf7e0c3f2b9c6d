/**
 * Definitions of the size and kind that certificate operators bring: several hundred KiB of schema with
 * whole pod templates in it, several versions, rules, defaults, columns, selectable fields, scale.
 */
import type { KubeObject } from "#kinds/object.ts";
import type { Schema } from "#kinds/schema.ts";
import { findSchema, referencedName } from "#kinds/schemas.ts";

export const group = "certs.example.com";

const string: Schema = { type: "string" };
const int: Schema = { type: "integer", format: "int32" };

function object(properties: Record<string, Schema>, more: Schema = {}): Schema {
  return { type: "object", properties, ...more };
}

/** A schema of the built-in kinds as a structural one: without references, with sentences. */
export function structural(name: string, path = ""): Schema {
  const short = name.split(".").at(-1) ?? "";
  if (short === "Quantity" || short === "IntOrString")
    return { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] };
  if (short === "ObjectMeta")
    return object({
      annotations: { type: "object", additionalProperties: string },
      labels: { type: "object", additionalProperties: string },
      name: string,
    });
  const schema = findSchema(name);
  return schema === undefined ? string : inlined(schema, path);
}

function inlined(schema: Schema, path: string): Schema {
  const referenced = referencedName(schema);
  if (referenced !== undefined) return structural(referenced, path);
  const {
    default: value,
    properties,
    items,
    additionalProperties,
    required,
    "x-kubernetes-list-type": listType,
    "x-kubernetes-list-map-keys": keys,
    type = "string",
    format,
    enum: values,
  } = schema;
  const result: Schema = { type, description: describe(path) };
  if (format !== undefined) result.format = format;
  if (values !== undefined) result.enum = values;
  if (typeof value === "string" && value !== "") result.default = value;
  if (properties !== undefined)
    result.properties = Object.fromEntries(
      Object.entries(properties).map(([name, each]) => [name, inlined(each, `${path}.${name}`)]),
    );
  if (required !== undefined) result.required = required;
  if (items !== undefined) result.items = inlined(items, path);
  if (typeof additionalProperties === "object")
    result.additionalProperties = inlined(additionalProperties, path);
  const fits = keys?.every(
    (key) =>
      result.items?.required?.includes(key) === true ||
      result.items?.properties?.[key]?.default !== undefined,
  );
  if (listType === "map" && fits === true && keys !== undefined) {
    result["x-kubernetes-list-type"] = "map";
    result["x-kubernetes-list-map-keys"] = keys;
  } else if (type === "array") result["x-kubernetes-list-type"] = "atomic";
  return result;
}

function describe(path: string): string {
  const words = path.split(".").filter((each) => each !== "");
  const [last = "value"] = words.slice(-1);
  return `${last} is the ${words.slice(-3).join(" of the ")} that the solver uses when it answers a challenge. More about ${last} can be found in the documentation of pods.`;
}

const reference = object(
  {
    name: { type: "string", maxLength: 253, minLength: 1 },
    kind: { type: "string", default: "Issuer", enum: ["Issuer", "ClusterIssuer"] },
    group: { type: "string", default: group, maxLength: 253 },
  },
  { required: ["name"], "x-kubernetes-map-type": "atomic" },
);

const conditions: Schema = {
  type: "array",
  "x-kubernetes-list-type": "map",
  "x-kubernetes-list-map-keys": ["type"],
  items: object(
    {
      type: string,
      status: { type: "string", enum: ["True", "False", "Unknown"] },
      reason: string,
      message: string,
      lastTransitionTime: { type: "string", format: "date-time" },
    },
    { required: ["type", "status"] },
  ),
};

const certificateSpec = object(
  {
    secretName: {
      type: "string",
      maxLength: 253,
      "x-kubernetes-validations": [{ rule: "self == oldSelf", message: "secretName is immutable" }],
    },
    dnsNames: {
      type: "array",
      "x-kubernetes-list-type": "set",
      maxItems: 20,
      items: { type: "string", maxLength: 253 },
    },
    duration: { type: "string", format: "duration" },
    renewBefore: { type: "string", format: "duration" },
    replicas: { type: "integer", format: "int32", default: 1, minimum: 0 },
    revisionHistoryLimit: { ...int, nullable: true, default: 3 },
    issuerRef: reference,
    port: {
      "x-kubernetes-int-or-string": true,
      anyOf: [{ type: "integer" }, { type: "string" }],
      default: 443,
    },
    usages: {
      type: "array",
      maxItems: 10,
      items: { type: "string", enum: ["signing", "server auth", "client auth"] },
    },
    keystores: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
    template: {
      type: "object",
      "x-kubernetes-embedded-resource": true,
      "x-kubernetes-preserve-unknown-fields": true,
    },
    privateKey: object(
      {
        algorithm: { type: "string", default: "RSA", enum: ["RSA", "ECDSA", "Ed25519"] },
        size: { type: "integer", default: 2048 },
      },
      { default: {} },
    ),
  },
  {
    required: ["secretName", "issuerRef"],
    "x-kubernetes-validations": [
      {
        rule: "!has(self.renewBefore) || !has(self.duration) || self.renewBefore < self.duration",
        message: "must be renewed before it ends",
        fieldPath: ".renewBefore",
        reason: "FieldValueForbidden",
      },
      {
        rule: "!has(self.dnsNames) || self.dnsNames.all(n, !n.startsWith('*.*'))",
        messageExpression: "'a wildcard stands alone in ' + self.secretName",
      },
      {
        rule: "self.privateKey.algorithm != 'Ed25519' || !has(self.usages) || !('signing' in self.usages)",
        message: "Ed25519 does not sign",
      },
    ],
  },
);

interface Options {
  kind: string;
  plural: string;
  shortNames?: string[];
  scope?: "Namespaced" | "Cluster";
  versions: Record<string, unknown>[];
}

function definition({ kind, plural, shortNames = [], scope = "Namespaced", versions }: Options): KubeObject {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}`, labels: { app: "certs" } },
    spec: {
      group,
      scope,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames,
        categories: ["certs"],
      },
      versions,
    },
  };
}

function version(name: string, spec: Schema, more: Record<string, unknown> = {}): Record<string, unknown> {
  const status = object({
    conditions,
    replicas: int,
    selector: string,
    notAfter: { type: "string", format: "date-time" },
  });
  return {
    name,
    served: true,
    storage: true,
    schema: { openAPIV3Schema: object({ spec, status }, { required: ["spec"] }) },
    subresources: { status: {} },
    ...more,
  };
}

const certificateColumns = [
  { name: "Ready", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
  { name: "Secret", type: "string", jsonPath: ".spec.secretName" },
  { name: "Issuer", type: "string", jsonPath: ".spec.issuerRef.name", priority: 1 },
  { name: "Replicas", type: "integer", jsonPath: ".spec.replicas" },
  { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
];

export function certificateDefinition(spec: Schema = certificateSpec): KubeObject {
  const more = {
    additionalPrinterColumns: certificateColumns,
    selectableFields: [{ jsonPath: ".spec.issuerRef.name" }, { jsonPath: ".spec.secretName" }],
    subresources: {
      status: {},
      scale: {
        specReplicasPath: ".spec.replicas",
        statusReplicasPath: ".status.replicas",
        labelSelectorPath: ".status.selector",
      },
    },
  };
  return definition({
    kind: "Certificate",
    plural: "certificates",
    shortNames: ["cert"],
    versions: [
      version("v1", spec, more),
      version("v1alpha2", spec, {
        ...more,
        storage: false,
        deprecated: true,
        deprecationWarning: `${group}/v1alpha2 Certificate is deprecated; use ${group}/v1 Certificate`,
      }),
    ],
  });
}

/** The certificate's spec with some of its properties replaced. */
export function certificateSpecWith(properties: Record<string, Schema>): Schema {
  return { ...certificateSpec, properties: { ...certificateSpec.properties, ...properties } };
}

function issuerSpec(): Schema {
  const podTemplate = object({
    metadata: structural("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
    spec: structural("io.k8s.api.core.v1.PodSpec", ".podTemplate.spec"),
  });
  const solver = object({
    http01: object({
      ingress: object({ podTemplate, serviceType: string }),
      gateway: object({ podTemplate }),
    }),
    selector: object({ matchLabels: { type: "object", additionalProperties: string } }),
  });
  return object({
    acme: object(
      {
        email: { type: "string", format: "email" },
        server: string,
        solvers: { type: "array", items: solver },
      },
      { required: ["server"] },
    ),
    selfSigned: object({ crlDistributionPoints: { type: "array", items: string } }),
  });
}

/** All of them; the issuers' are the large ones. */
export function largeDefinitions(): KubeObject[] {
  const spec = issuerSpec();
  return [
    certificateDefinition(),
    definition({ kind: "Issuer", plural: "issuers", versions: [version("v1", spec)] }),
    definition({
      kind: "ClusterIssuer",
      plural: "clusterissuers",
      scope: "Cluster",
      versions: [version("v1", spec)],
    }),
  ];
}
