/** CertificateSigningRequest (certificates.k8s.io/v1). The requester is written by the server, from the request's user. */
import { ageColumn, nameColumn, text } from "./columns.ts";
import { copyOf } from "./equality.ts";
import { type FieldError, duplicate, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { defineKind } from "./kind.ts";
import { dnsSubdomainErrors, pathSegmentErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { decodeBase64 } from "./secret.ts";
import { allVerbs, keepField, objectVerbs, statusSubresource, withStatus } from "./strategy.ts";
import { formatDuration } from "./time.ts";

const schemaName = "io.k8s.api.certificates.v1.CertificateSigningRequest";
const status = withStatus<RequestObject>(schemaName, { generation: false });

interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastUpdateTime?: string | null;
  lastTransitionTime?: string | null;
}

interface RequestObject extends KubeObject {
  spec: {
    request: string | null;
    signerName: string;
    expirationSeconds?: number;
    usages?: string[];
    username?: string;
    groups?: string[];
    uid?: string;
    extra?: unknown;
  };
  status?: { conditions?: Condition[]; certificate?: string };
}

const usages = [
  "any",
  "cert sign",
  "client auth",
  "code signing",
  "content commitment",
  "crl sign",
  "data encipherment",
  "decipher only",
  "digital signature",
  "email protection",
  "encipher only",
  "ipsec end system",
  "ipsec tunnel",
  "ipsec user",
  "key agreement",
  "key encipherment",
  "microsoft sgc",
  "netscape sgc",
  "ocsp signing",
  "s/mime",
  "server auth",
  "signing",
  "timestamping",
];

export const certificateSigningRequest = defineKind<RequestObject>({
  group: "certificates.k8s.io",
  version: "v1",
  kind: "CertificateSigningRequest",
  plural: "certificatesigningrequests",
  singular: "certificatesigningrequest",
  shortNames: ["csr"],
  namespaced: false,
  validateName: pathSegmentErrors,
  schemaName,
  verbs: allVerbs,
  ...status,
  prepareCreate(object, context) {
    status.prepareCreate(object, context);
    object.spec.username = context.user.name;
    object.spec.groups = [...context.user.groups];
    object.spec.uid = context.user.uid ?? "";
    if (context.user.extra === undefined) delete object.spec.extra;
    else object.spec.extra = copyOf(context.user.extra);
  },
  prepareUpdate(object, old) {
    object.spec = copyOf(old.spec);
    keepField(object, old, "status");
  },
  resetFields: ["spec", "status"],
  validate: validateRequest,
  validateUpdate: validateRequest,
  subresources: {
    approval: {
      verbs: objectVerbs,
      /** Only the conditions that approve or deny may be written here. */
      prepareUpdate(object, old, context) {
        const conditions = object.status?.conditions;
        object.spec = copyOf(old.spec);
        object.status = copyOf(old.status ?? {});
        if (conditions === undefined) delete object.status.conditions;
        else object.status.conditions = conditions;
        stampConditions(object, old, context.now);
      },
      validateUpdate: (object, old) => [
        ...validateRequest(object),
        ...conditionErrors(object),
        ...removedConditionErrors(object, old),
      ],
    },
    status: {
      ...statusSubresource<RequestObject>(),
      validateUpdate: (object, old) => [
        ...validateRequest(object),
        ...conditionErrors(object),
        ...removedConditionErrors(object, old),
        ...decisions.flatMap((type) => decisionErrors(object, old, type)),
        ...(old.status?.certificate && object.status?.certificate !== old.status.certificate
          ? [forbidden("status.certificate", "updates may not modify existing certificate content")]
          : []),
      ],
      /** Approval and denial stay with the approval subresource. */
      prepareUpdate(object, old, context) {
        object.spec = copyOf(old.spec);
        for (const type of decisions) keepConditions(object, old, type);
        stampConditions(object, old, context.now);
      },
    },
  },
  fieldSelectors: { "spec.signerName": ({ spec }) => spec.signerName },
  columns: [
    nameColumn,
    ageColumn,
    text("SignerName", "Who is to sign.", ({ spec }) => spec.signerName || "<none>"),
    text("Requestor", "Who asked.", ({ spec }) => spec.username ?? ""),
    text("RequestedDuration", "How long the certificate is to hold.", ({ spec }) =>
      spec.expirationSeconds === undefined ? "<none>" : formatDuration(spec.expirationSeconds * 1000),
    ),
    text("Condition", "State of the request.", ({ status: state }) => {
      const has = (type: string): boolean => state?.conditions?.some((each) => each.type === type) ?? false;
      const words = [has("Denied") ? "Denied" : has("Approved") ? "Approved" : "Pending"];
      if (has("Failed")) words.push("Failed");
      if (state?.certificate) words.push("Issued");
      return words.join(",");
    }),
  ],
});

const decisions = ["Approved", "Denied"];

function conditionsOf({ status: state }: RequestObject, type: string): Condition[] {
  return (state?.conditions ?? []).filter((each) => each.type === type);
}

/** Puts the stored conditions of a type in the place of the written ones, where these are as many. */
function keepConditions(object: RequestObject, old: RequestObject, type: string): void {
  const before = conditionsOf(old, type);
  if (object.status?.conditions === undefined || conditionsOf(object, type).length !== before.length) return;
  object.status.conditions = object.status.conditions.map((each) =>
    each.type === type ? copyOf(before.shift() ?? each) : each,
  );
}

function conditionErrors({ status: state }: RequestObject): FieldError[] {
  const types: string[] = [];
  return (state?.conditions ?? []).flatMap(({ type, status: value }, index) => {
    const at = `status.conditions[${index}]`;
    const errors: FieldError[] = type === "" ? [required(`${at}.type`)] : [];
    const allowed = [...decisions, "Failed"].includes(type) ? ["True"] : ["False", "True", "Unknown"];
    if (value === "") errors.push(required(`${at}.status`));
    else if (!allowed.includes(value)) errors.push(notSupported(`${at}.status`, value, allowed));
    const other = decisions.find((each) => each !== type);
    if (decisions.includes(type) && types.includes(other ?? ""))
      errors.push(invalid(`${at}.type`, type, "Approved and Denied conditions are mutually exclusive"));
    if (types.includes(type)) errors.push(duplicate(`${at}.type`, type));
    types.push(type);
    return errors;
  });
}

function removedConditionErrors(object: RequestObject, old: RequestObject): FieldError[] {
  return [...decisions, "Failed"]
    .filter((type) => conditionsOf(object, type).length < conditionsOf(old, type).length)
    .map((type) => forbidden("status.conditions", `updates may not remove a condition of type "${type}"`));
}

function decisionErrors(object: RequestObject, old: RequestObject, type: string): FieldError[] {
  return conditionsOf(object, type).length > conditionsOf(old, type).length
    ? [forbidden("status.conditions", `updates may not add a condition of type "${type}"`)]
    : [];
}

function stampConditions(object: RequestObject, old: RequestObject, now: string): void {
  for (const condition of object.status?.conditions ?? []) {
    const before = old.status?.conditions?.find((each) => each.type === condition.type);
    if (!condition.lastUpdateTime) condition.lastUpdateTime = now;
    if (!condition.lastTransitionTime)
      condition.lastTransitionTime =
        before?.status === condition.status && before.lastTransitionTime ? before.lastTransitionTime : now;
  }
}

function validateRequest({ spec }: RequestObject): FieldError[] {
  const errors: FieldError[] = [];
  const bytes = decodeBase64(spec.request ?? "");
  if (!bytes.includes("-----BEGIN CERTIFICATE REQUEST-----"))
    errors.push(
      invalid(
        "spec.request",
        { goSyntax: spec.request === null ? "[]byte(nil)" : "[]byte{}" },
        "PEM block type must be CERTIFICATE REQUEST",
      ),
    );
  const given = spec.usages ?? [];
  if (given.length === 0) errors.push(required("spec.usages"));
  for (const [index, usage] of given.entries()) {
    if (given.indexOf(usage) < index) errors.push(duplicate(`spec.usages[${index}]`, usage));
    if (!usages.includes(usage)) errors.push(notSupported(`spec.usages[${index}]`, usage, usages));
  }
  errors.push(...signerErrors(spec.signerName));
  if (spec.expirationSeconds !== undefined && spec.expirationSeconds < 600)
    errors.push(
      invalid(
        "spec.expirationSeconds",
        spec.expirationSeconds,
        "may not specify a duration less than 600 seconds (10 minutes)",
      ),
    );
  return errors;
}

function signerErrors(name: string): FieldError[] {
  if (name === "") return [required("spec.signerName")];
  const [domain = "", path = "", ...more] = name.split("/");
  if (path === "" || domain === "" || more.length > 0)
    return [
      invalid(
        "spec.signerName",
        name,
        "must be a fully qualified domain and path of the form 'example.com/signer-name'",
      ),
    ];
  return [...dnsSubdomainErrors(domain), ...dnsSubdomainErrors(path)].map((each) =>
    invalid("spec.signerName", name, each),
  );
}
