/** Secret (v1): opaque data, and the keys that known types must have. */
import { ageColumn, nameColumn, text } from "./columns.ts";
import { base64Length, dataLimitBytes } from "./config-map.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, forbidden, invalid, required, tooLong } from "./field-error.ts";
import { defineKind } from "./kind.ts";
import { sortedEntries } from "./metadata.ts";
import { configKeyErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs } from "./strategy.ts";

interface SecretObject extends KubeObject {
  data?: Record<string, string>;
  stringData?: Record<string, string>;
  type?: string;
  immutable?: boolean;
}

export const secret = defineKind<SecretObject>({
  group: "",
  version: "v1",
  kind: "Secret",
  plural: "secrets",
  singular: "secret",
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.Secret",
  verbs: allVerbs,
  applyDefaults(object) {
    for (const [key, value] of Object.entries(object.stringData ?? {}))
      object.data = { ...object.data, [key]: encodeBase64(value) };
    delete object.stringData;
    object.type ||= "Opaque";
  },
  prepareUpdate(object, old) {
    // A type that is left out stays; the default is not meant.
    if (object.type === "Opaque" && old.type !== undefined && old.type !== "Opaque") object.type ??= old.type;
  },
  warnings: tlsWarnings,
  validate: validateSecret,
  validateUpdate(object, old) {
    const errors: FieldError[] = [];
    if (object.type !== old.type) errors.push(invalid("type", object.type, "field is immutable"));
    if (old.immutable === true) {
      const detail = "field is immutable when `immutable` is set";
      if (object.immutable !== true) errors.push(forbidden("immutable", detail));
      if (!deepEqual(object.data ?? {}, old.data ?? {})) errors.push(forbidden("data", detail));
    }
    return [...errors, ...validateSecret(object)];
  },
  fieldSelectors: { type: ({ type }) => type ?? "" },
  columns: [
    nameColumn,
    text("Type", "What the data is for.", ({ type }) => type ?? ""),
    {
      name: "Data",
      type: "string",
      description: "Number of keys.",
      priority: 0,
      cell: ({ data }) => Object.keys(data ?? {}).length,
    },
    ageColumn,
  ],
});

/** A certificate and key that no server could use. */
function tlsWarnings({ type, data }: SecretObject): string[] {
  if (type !== "kubernetes.io/tls") return [];
  for (const [key, name] of [
    ["tls.crt", "certificate"],
    ["tls.key", "key"],
  ] as const)
    if (!decodeBase64(data?.[key] ?? "").includes("-----BEGIN "))
      return [`tls: failed to find any PEM data in ${name} input`];
  return [];
}

function validateSecret(object: SecretObject): FieldError[] {
  const errors: FieldError[] = [];
  const data = object.data ?? {};
  let sizeBytes = 0;
  for (const [key, value] of sortedEntries(data)) {
    errors.push(...configKeyErrors(key).map((each) => invalid(`data[${key}]`, key, each)));
    sizeBytes += base64Length(value);
  }
  if (sizeBytes > dataLimitBytes) errors.push(tooLong("data", dataLimitBytes));
  return [...errors, ...typeErrors(object, data)];
}

function typeErrors(object: SecretObject, data: Record<string, string>): FieldError[] {
  const missing = (key: string): FieldError[] => (key in data ? [] : [required(`data[${key}]`)]);
  switch (object.type) {
    case "kubernetes.io/service-account-token": {
      const annotation = "kubernetes.io/service-account.name";
      return object.metadata.annotations?.[annotation]
        ? []
        : [required(`metadata.annotations[${annotation}]`)];
    }
    case "kubernetes.io/dockercfg":
      return [...missing(".dockercfg"), ...jsonErrors(data, ".dockercfg")];
    case "kubernetes.io/dockerconfigjson":
      return [...missing(".dockerconfigjson"), ...jsonErrors(data, ".dockerconfigjson")];
    case "kubernetes.io/basic-auth":
      return "username" in data || "password" in data ? [] : [...missing("username"), ...missing("password")];
    case "kubernetes.io/ssh-auth":
      return data["ssh-privatekey"] ? [] : [required("data[ssh-privatekey]")];
    case "kubernetes.io/tls":
      return [...missing("tls.crt"), ...missing("tls.key")];
    default:
      return [];
  }
}

function jsonErrors(data: Record<string, string>, key: string): FieldError[] {
  const value = data[key];
  if (value === undefined) return [];
  const decoded = decodeBase64(value);
  try {
    JSON.parse(decoded);
    return [];
  } catch {
    return [invalid(`data[${key}]`, "<secret contents redacted>", goJsonError(decoded))];
  }
}

/** What Go's decoder says of the first character that does not fit. */
function goJsonError(text: string): string {
  const trimmed = text.trimStart();
  if (trimmed === "") return "unexpected end of JSON input";
  for (const word of ["null", "true", "false"])
    if (trimmed[0] === word[0])
      for (let index = 1; index < word.length; index += 1)
        if (trimmed[index] !== word[index])
          return trimmed[index] === undefined
            ? "unexpected end of JSON input"
            : `invalid character '${trimmed[index]}' in literal ${word} (expecting '${word[index]}')`;
  return `invalid character '${trimmed[0]}' looking for beginning of value`;
}

export function encodeBase64(text: string): string {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

export function decodeBase64(text: string): string {
  const bytes = Uint8Array.from(atob(text.replace(/[\r\n]/g, "")), (each) => each.charCodeAt(0));
  return new TextDecoder().decode(bytes);
}
