/**
 * Name rules (k8s.io/apimachinery, util/validation) in upstream's wording. Each check returns the
 * details of what is wrong; an empty list means valid. Also the suffixes of generated names.
 */

const label1123 = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const label1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const subdomain1123 = `${label1123}(\\.${label1123})*`;
const qualifiedPart = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const labelValue = `(${qualifiedPart})?`;
const configKey = "[-._a-zA-Z0-9]+";
const httpHeader = "[-A-Za-z0-9]+";
const sysctl = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/** Letters and digits of generated suffixes: no vowels, nothing that is easily misread. */
export const nameAlphabet = "bcdfghjklmnpqrstvwxz2456789";

export function dnsLabelErrors(value: string): string[] {
  const errors = rule(
    value,
    63,
    label1123,
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
    ["my-name", "123-abc"],
  );
  // A good subdomain is told its one fault.
  if (!matches(label1123, value) && matches(subdomain1123, value))
    errors[errors.length - 1] = "must not contain dots";
  return errors;
}

export function dns1035LabelErrors(value: string): string[] {
  return rule(
    value,
    63,
    label1035,
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
    ["my-name", "abc-123"],
  );
}

export function dnsSubdomainErrors(value: string): string[] {
  return rule(
    value,
    253,
    subdomain1123,
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
    ["example.com"],
  );
}

export function wildcardSubdomainErrors(value: string): string[] {
  return rule(
    value,
    253,
    `\\*\\.${subdomain1123}`,
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    ["*.example.com"],
  );
}

/** Label keys, annotation keys, resource names: "name" or "prefix.example.com/name". */
export function qualifiedNameErrors(value: string): string[] {
  const errors: string[] = [];
  const parts = value.split("/");
  let name = parts[0] ?? "";
  if (parts.length === 2) {
    const prefix = parts[0] ?? "";
    name = parts[1] ?? "";
    if (prefix === "") errors.push("prefix part must be non-empty");
    else errors.push(...dnsSubdomainErrors(prefix).map((each) => `prefix part ${each}`));
  } else if (parts.length > 2) {
    const text = regexText(
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
      qualifiedPart,
      ["MyName", "my.name", "123-abc"],
    );
    return [
      `a qualified name ${text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  if (name === "") errors.push("name part must be non-empty");
  else if (name.length > 63) errors.push("name part must be no more than 63 characters");
  if (!matches(qualifiedPart, name))
    errors.push(
      `name part ${regexText(
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        qualifiedPart,
        ["MyName", "my.name", "123-abc"],
      )}`,
    );
  return errors;
}

export function labelValueErrors(value: string): string[] {
  return rule(
    value,
    63,
    labelValue,
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    ["MyValue", "my_value", "12345"],
  );
}

/** Keys of ConfigMaps and Secrets. */
export function configKeyErrors(key: string): string[] {
  const errors = rule(
    key,
    253,
    configKey,
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    ["key.name", "KEY_NAME", "key-name"],
  );
  if (key === ".") errors.push("must not be '.'");
  if (key === "..") errors.push("must not be '..'");
  else if (key.startsWith("..")) errors.push("must not start with '..'");
  return errors;
}

export function envVarNameErrors(name: string): string[] {
  const errors = /^[ -<>-~]+$/.test(name)
    ? []
    : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
  return errors;
}

export function httpHeaderErrors(name: string): string[] {
  return matches(httpHeader, name)
    ? []
    : [
        regexText("a valid HTTP header must consist of alphanumeric characters or '-'", httpHeader, [
          "X-Header-Name",
        ]),
      ];
}

/** Names of ports: at most 15 characters of a-z, 0-9 and "-", with a letter. */
export function portNameErrors(name: string): string[] {
  const errors: string[] = [];
  if (name.length > 15) errors.push("must be no more than 15 characters");
  if (!/^[-a-z0-9]+$/.test(name))
    errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(name)) errors.push("must contain at least one letter (a-z)");
  if (name.includes("--")) errors.push("must not contain consecutive hyphens");
  if (name.startsWith("-") || name.endsWith("-")) errors.push("must not begin or end with a hyphen");
  return errors;
}

export function portNumberErrors(port: number): string[] {
  return port >= 1 && port <= 65535 ? [] : ["must be between 1 and 65535, inclusive"];
}

export function sysctlErrors(name: string): string[] {
  return name.length <= 253 && new RegExp(sysctl).test(name)
    ? []
    : [`must have at most 253 characters and match regex ${sysctl}`];
}

/** Names that are path segments (roles, role bindings): anything but ".", "..", "/" and "%". */
export function pathSegmentErrors(name: string, isPrefix = false): string[] {
  if (!isPrefix && (name === "." || name === "..")) return [`may not be '${name}'`];
  return ["/", "%"].filter((each) => name.includes(each)).map((each) => `may not contain '${each}'`);
}

/** A name rule for kinds: generated names are checked without the trailing "-" that their prefix may have. */
export function nameRule(check: (value: string) => string[]): (name: string, isPrefix: boolean) => string[] {
  return (name, isPrefix) => check(isPrefix && name.endsWith("-") ? `${name.slice(0, -1)}a` : name);
}

/** `prefix` and five characters. `random(n)` gives a whole number below n. The prefix is cut to 58 characters. */
export function generateName(prefix: string, random: (below: number) => number): string {
  let suffix = "";
  for (let index = 0; index < 5; index += 1) suffix += nameAlphabet[random(nameAlphabet.length)] ?? "";
  return prefix.slice(0, 63 - 5) + suffix;
}

function rule(value: string, maxLength: number, pattern: string, text: string, examples: string[]): string[] {
  const errors: string[] = [];
  if (value.length > maxLength) errors.push(`must be no more than ${maxLength} characters`);
  if (!matches(pattern, value)) errors.push(regexText(text, pattern, examples));
  return errors;
}

const compiled = new Map<string, RegExp>();

function matches(pattern: string, value: string): boolean {
  let expression = compiled.get(pattern);
  if (expression === undefined) compiled.set(pattern, (expression = new RegExp(`^(?:${pattern})$`)));
  return expression.test(value);
}

function regexText(text: string, pattern: string, examples: string[]): string {
  return `${text} (e.g. ${examples.map((each) => `'${each}'`).join(",  or ")}, regex used for validation is '${pattern}')`;
}

/** "acme.io/foo": a domain and a path. */
export function domainPathErrors(value: string): string[] {
  if (value === "") return ['must be a domain-prefixed path (such as "acme.io/foo")'];
  const slash = value.indexOf("/");
  if (slash <= 0 || slash === value.length - 1)
    return ['must be a domain-prefixed path (such as "acme.io/foo")'];
  const domain = dnsSubdomainErrors(value.slice(0, slash));
  if (domain.length > 0) return domain;
  const path = /^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/;
  return path.test(value.slice(slash + 1)) ? [] : [`Invalid path`];
}
