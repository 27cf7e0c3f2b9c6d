/** Rules of FlowSchemas: which requests of whom they match (k8s.io/kubernetes, apis/flowcontrol/validation). */
import { type FieldError, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { dnsLabelErrors, dnsSubdomainErrors } from "./names.ts";

interface Subject {
  kind?: string;
  user?: { name?: string };
  group?: { name?: string };
  serviceAccount?: { name?: string; namespace?: string };
}

interface ResourceRule {
  verbs?: string[] | null;
  apiGroups?: string[] | null;
  resources?: string[] | null;
  clusterScope?: boolean;
  namespaces?: string[] | null;
}

interface NonResourceRule {
  verbs?: string[] | null;
  nonResourceURLs?: string[] | null;
}

export interface FlowRule {
  subjects?: Subject[] | null;
  resourceRules?: ResourceRule[] | null;
  nonResourceRules?: NonResourceRule[] | null;
}

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

export function validateFlowRules(rules: readonly FlowRule[], path: string): FieldError[] {
  return rules.flatMap((rule, index) => ruleErrors(rule, `${path}[${index}]`));
}

function ruleErrors(rule: FlowRule, path: string): FieldError[] {
  const subjects = rule.subjects ?? [];
  const resourceRules = rule.resourceRules ?? [];
  const nonResourceRules = rule.nonResourceRules ?? [];
  const errors: FieldError[] = [];
  if (subjects.length === 0)
    errors.push(required(`${path}.subjects`, "subjects must contain at least one value"));
  for (const [index, each] of subjects.entries())
    errors.push(...subjectErrors(each, `${path}.subjects[${index}]`));
  if (resourceRules.length === 0 && nonResourceRules.length === 0)
    errors.push(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"));
  for (const [index, each] of resourceRules.entries())
    errors.push(...resourceRuleErrors(each, `${path}.resourceRules[${index}]`));
  for (const [index, each] of nonResourceRules.entries())
    errors.push(...nonResourceRuleErrors(each, `${path}.nonResourceRules[${index}]`));
  return errors;
}

const subjectFields = { User: "user", Group: "group", ServiceAccount: "serviceAccount" } as const;

function subjectErrors(subject: Subject, path: string): FieldError[] {
  const kind = subject.kind ?? "";
  if (kind !== "User" && kind !== "Group" && kind !== "ServiceAccount")
    return [notSupported(`${path}.kind`, kind, ["Group", "ServiceAccount", "User"])];
  const field = subjectFields[kind];
  const errors =
    subject[field] === undefined
      ? [required(`${path}.${field}`, `${field} is required when subject kind is '${kind}'`)]
      : kind === "ServiceAccount"
        ? serviceAccountErrors(subject.serviceAccount ?? {}, `${path}.serviceAccount`)
        : subject[field].name
          ? []
          : [required(`${path}.${field}.name`)];
  for (const [otherKind, other] of Object.entries(subjectFields))
    if (other !== field && subject[other] !== undefined)
      errors.push(
        forbidden(`${path}.${other}`, `${other} is forbidden when subject kind is not '${otherKind}'`),
      );
  return errors;
}

function serviceAccountErrors(
  { name = "", namespace = "" }: { name?: string; namespace?: string },
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (name === "") errors.push(required(`${path}.name`));
  else if (name !== "*")
    errors.push(...dnsSubdomainErrors(name).map((each) => invalid(`${path}.name`, name, each)));
  if (namespace === "")
    errors.push(required(`${path}.namespace`, "must specify namespace for service account"));
  else errors.push(...dnsLabelErrors(namespace).map((each) => invalid(`${path}.namespace`, namespace, each)));
  return errors;
}

function resourceRuleErrors(rule: ResourceRule, path: string): FieldError[] {
  const errors = verbErrors(rule.verbs ?? [], `${path}.verbs`);
  for (const [field, one, many] of [
    ["apiGroups", "api group", "api groups"],
    ["resources", "resource", "resources"],
  ] as const) {
    const list = rule[field] ?? [];
    if (list.length === 0)
      errors.push(required(`${path}.${field}`, `resource rules must supply at least one ${one}`));
    else errors.push(...wildcardErrors(list, `${path}.${field}`, many));
  }
  const namespaces = rule.namespaces ?? [];
  if (namespaces.length === 0 && rule.clusterScope !== true)
    errors.push(
      required(
        `${path}.namespaces`,
        "resource rules that are not cluster scoped must supply at least one namespace",
      ),
    );
  errors.push(...wildcardErrors(namespaces, `${path}.namespaces`, "namespaces"));
  for (const [index, each] of namespaces.entries())
    if (each !== "*")
      errors.push(
        ...dnsLabelErrors(each).map((text) =>
          invalid(
            `${path}.namespaces[${index}]`,
            each,
            `each member of this list must be '*' or a DNS-1123 label; ${text}`,
          ),
        ),
      );
  return errors;
}

function nonResourceRuleErrors(rule: NonResourceRule, path: string): FieldError[] {
  const errors = verbErrors(rule.verbs ?? [], `${path}.verbs`);
  const urls = rule.nonResourceURLs ?? [];
  const at = `${path}.nonResourceURLs`;
  if (urls.length === 0) errors.push(required(at, "nonResourceURLs must contain at least one value"));
  else if (urls.includes("*")) errors.push(...wildcardErrors(urls, at, "non-resource URLs"));
  else
    for (const [index, each] of urls.entries()) {
      const problem = urlProblem(each);
      if (problem !== undefined) errors.push(invalid(`${at}[${index}]`, each, problem));
    }
  return errors;
}

function urlProblem(url: string): string | undefined {
  if (url === "") return "must not be empty";
  if (!url.startsWith("/")) return "must start with slash";
  if (url.includes(" ")) return "must not contain white-space";
  if (url.includes("//")) return "must not contain double slash";
  const isSuffix = url.indexOf("*") === url.length - 1 && url.endsWith("/*");
  return url.includes("*") && !isSuffix ? "wildcard can only do suffix matching" : undefined;
}

function verbErrors(given: readonly string[], path: string): FieldError[] {
  if (given.length === 0) return [required(path, "verbs must contain at least one value")];
  if (given.includes("*")) return wildcardErrors(given, path, "verbs");
  return given.every((each) => verbs.includes(each)) ? [] : [notSupported(path, goList(given), verbs)];
}

function wildcardErrors(list: readonly string[], path: string, what: string): FieldError[] {
  if (!list.includes("*") || list.length === 1) return [];
  return [invalid(path, goList(list), `if '*' is present, must not specify other ${what}`)];
}

function goList(list: readonly string[]): { goSyntax: string } {
  return { goSyntax: `[]string{${list.map((each) => JSON.stringify(each)).join(", ")}}` };
}
