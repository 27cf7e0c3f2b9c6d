/** Named formats: format.dns1123Label().validate(text) is nothing, or the list of what is wrong. */
import type { Environment } from "@marcbachmann/cel-js";
import {
  dns1035LabelErrors,
  dnsLabelErrors,
  dnsSubdomainErrors,
  labelValueErrors,
  qualifiedNameErrors,
} from "#kinds/names.ts";
import { optionalOf } from "./optional.ts";

type Check = (text: string) => string[];

class CelFormat {
  readonly check: Check;

  constructor(check: Check) {
    this.check = check;
  }
}

/** What generated names begin with may end in a hyphen. */
function asPrefix(check: Check): Check {
  return (text) => check(text.endsWith("-") ? `${text.slice(0, -1)}a` : text);
}

function pattern(expression: RegExp, what: string): Check {
  return (text) => (expression.test(text) ? [] : [what]);
}

const named: Readonly<Record<string, Check>> = {
  dns1123Label: dnsLabelErrors,
  dns1123Subdomain: dnsSubdomainErrors,
  dns1035Label: dns1035LabelErrors,
  dns1123LabelPrefix: asPrefix(dnsLabelErrors),
  dns1123SubdomainPrefix: asPrefix(dnsSubdomainErrors),
  dns1035LabelPrefix: asPrefix(dns1035LabelErrors),
  qualifiedName: qualifiedNameErrors,
  labelValue: labelValueErrors,
  uri: (text) =>
    text.startsWith("/") || URL.canParse(text)
      ? []
      : [`parse ${JSON.stringify(text)}: invalid URI for request`],
  uuid: pattern(/^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i, "does not match the UUID format"),
  byte: pattern(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, "invalid base64"),
  date: (text) => (isTime(`${text}T00:00:00Z`) ? [] : ["invalid date"]),
  datetime: (text) => (isTime(text) ? [] : ["invalid datetime"]),
};

function isTime(text: string): boolean {
  return (
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/.test(text) &&
    !Number.isNaN(Date.parse(text))
  );
}

export function registerFormats(environment: Environment): void {
  const formats = class FormatNamespace {};
  environment
    .registerType("kubernetes.NamedFormat", { ctor: CelFormat, fields: {} })
    .registerType("FormatNamespace", { ctor: formats, fields: {} })
    .registerConstant("format", "FormatNamespace", new formats())
    .registerFunction(
      "FormatNamespace.named(string): optional<kubernetes.NamedFormat>",
      (_formats: unknown, name: string) => {
        const check = Object.hasOwn(named, name) ? named[name] : undefined;
        return optionalOf(check === undefined ? undefined : new CelFormat(check));
      },
    )
    .registerFunction(
      "kubernetes.NamedFormat.validate(string): optional<list<string>>",
      ({ check }: CelFormat, text: string) => {
        const errors = check(text);
        return optionalOf(errors.length === 0 ? undefined : errors);
      },
    );
  for (const [name, check] of Object.entries(named))
    environment.registerFunction(
      `FormatNamespace.${name}(): kubernetes.NamedFormat`,
      () => new CelFormat(check),
    );
}
