/**
 * Label selectors: the string form of requests ("a=b,c in (d,e),!f") and the LabelSelector object of
 * specs, both as one list of requirements that all must hold. Error texts are upstream's.
 */
import { type FieldError, forbidden, invalid, required } from "./field-error.ts";
import { labelValueErrors, qualifiedNameErrors } from "./names.ts";

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

export type SelectorOperator = "=" | "==" | "!=" | "in" | "notin" | "exists" | "!" | "gt" | "lt";

export interface LabelRequirement {
  key: string;
  operator: SelectorOperator;
  values: string[];
}

export type Labels = Readonly<Record<string, string>> | undefined;

/** Parses the string form; throws RangeError with upstream's text. An empty text selects everything. */
export function parseLabelSelector(text: string): LabelRequirement[] {
  return new Parser(text).parse();
}

export function matchesRequirements(requirements: readonly LabelRequirement[], labels: Labels): boolean {
  return requirements.every((each) => matchesRequirement(each, labels ?? {}));
}

/** True where the object form selects these labels. An absent selector selects nothing, an empty one everything. */
export function matchesLabelSelector(selector: LabelSelector | null | undefined, labels: Labels): boolean {
  if (selector === null || selector === undefined) return false;
  const { matchLabels, matchExpressions = [] } = selector;
  for (const key in matchLabels) if (valueOf(labels, key) !== matchLabels[key]) return false;
  return matchExpressions.length === 0 || matchesRequirements(requirementsOf({ matchExpressions })!, labels);
}

function valueOf(labels: Labels, key: string): string | undefined {
  return labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
}

/** True where a plain map (a Service's selector) selects these labels. An empty or absent map selects nothing. */
export function matchesSelectorMap(
  selector: Readonly<Record<string, string>> | undefined,
  labels: Labels,
): boolean {
  const entries = Object.entries(selector ?? {});
  return entries.length > 0 && entries.every(([key, value]) => labels?.[key] === value);
}

/** The object form as requirements; undefined for an absent selector, which selects nothing. */
export function requirementsOf(selector: LabelSelector | null | undefined): LabelRequirement[] | undefined {
  if (selector === null || selector === undefined) return undefined;
  const operators: Record<string, SelectorOperator> = {
    In: "in",
    NotIn: "notin",
    Exists: "exists",
    DoesNotExist: "!",
  };
  return [
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({
      key,
      operator: "=" as const,
      values: [value],
    })),
    ...(selector.matchExpressions ?? []).map((each) => ({
      key: each.key,
      operator: operators[each.operator] ?? "in",
      values: each.values ?? [],
    })),
  ];
}

/** The string form of requirements, sorted by key as upstream prints selectors. */
export function formatRequirements(requirements: readonly LabelRequirement[]): string {
  return [...requirements]
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ key, operator, values }) => {
      switch (operator) {
        case "exists":
          return key;
        case "!":
          return `!${key}`;
        case "in":
        case "notin":
          return `${key} ${operator} (${[...values].sort().join(",")})`;
        case "gt":
          return `${key}>${values[0]}`;
        case "lt":
          return `${key}<${values[0]}`;
        default:
          return `${key}${operator}${values[0]}`;
      }
    })
    .join(",");
}

/** The string form of an object selector ("<none>" is the printers' word for an absent or empty one). */
export function formatLabelSelector(selector: LabelSelector | null | undefined): string {
  const requirements = requirementsOf(selector);
  return requirements === undefined || requirements.length === 0
    ? "<none>"
    : formatRequirements(requirements);
}

/** Validates an object selector (apimachinery's ValidateLabelSelector). */
export function validateLabelSelector(selector: LabelSelector | undefined, path: string): FieldError[] {
  if (selector === undefined) return [];
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    errors.push(...qualifiedNameErrors(key).map((each) => invalid(`${path}.matchLabels`, key, each)));
    errors.push(...labelValueErrors(value).map((each) => invalid(`${path}.matchLabels`, value, each)));
  }
  for (const [index, each] of (selector.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${index}]`;
    const count = each.values?.length ?? 0;
    if (each.operator === "In" || each.operator === "NotIn") {
      if (count === 0)
        errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (each.operator === "Exists" || each.operator === "DoesNotExist") {
      if (count > 0)
        errors.push(
          forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        );
    } else errors.push(invalid(`${at}.operator`, each.operator, "not a valid selector operator"));
    errors.push(...qualifiedNameErrors(each.key).map((text) => invalid(`${at}.key`, each.key, text)));
    for (const [position, value] of (each.values ?? []).entries())
      errors.push(
        ...labelValueErrors(value).map((text) => invalid(`${at}.values[${position}]`, value, text)),
      );
  }
  return errors;
}

export function isEmptySelector(selector: LabelSelector | undefined): boolean {
  return Object.keys(selector?.matchLabels ?? {}).length + (selector?.matchExpressions ?? []).length === 0;
}

function matchesRequirement(
  { key, operator, values }: LabelRequirement,
  labels: Record<string, string>,
): boolean {
  const has = Object.hasOwn(labels, key);
  const value = labels[key] ?? "";
  switch (operator) {
    case "=":
    case "==":
    case "in":
      return has && values.includes(value);
    case "!=":
    case "notin":
      return !has || !values.includes(value);
    case "exists":
      return has;
    case "!":
      return !has;
    case "gt":
    case "lt": {
      if (!has || !/^[+-]?\d+$/.test(value)) return false;
      const difference = BigInt(value) - BigInt(values[0] ?? "0");
      return operator === "gt" ? difference > 0n : difference < 0n;
    }
  }
}

type Token = { type: "identifier" | "end" | "in" | "notin" | "symbol"; literal: string };

class Parser {
  readonly #tokens: Token[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
  }

  parse(): LabelRequirement[] {
    const requirements: LabelRequirement[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.type === "identifier" || token.literal === "!" || isWord(token)) {
        let requirement: LabelRequirement;
        try {
          requirement = this.#requirement();
        } catch (error) {
          throw new RangeError(`unable to parse requirement: ${(error as Error).message}`);
        }
        requirements.push(requirement);
        const next = this.#next();
        if (next.type === "end")
          return requirements.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
        if (next.literal !== ",")
          throw new RangeError(`found '${next.literal}', expected: ',' or 'end of string'`);
        const following = this.#peek();
        if (following.type !== "identifier" && following.literal !== "!" && !isWord(following))
          throw new RangeError(`found '${following.literal}', expected: identifier after ','`);
      } else if (token.type === "end") return requirements;
      else throw new RangeError(`found '${token.literal}', expected: !, identifier, or 'end of string'`);
    }
  }

  #requirement(): LabelRequirement {
    let negated = false;
    if (this.#peek().literal === "!" && this.#peek().type === "symbol") {
      negated = true;
      this.#next();
    }
    const { literal: key, type } = this.#next();
    if (type !== "identifier" && !isWord({ literal: key, type }))
      throw new RangeError(`found '${key}', expected: identifier`);
    const keyErrors = qualifiedNameErrors(key);
    if (keyErrors.length > 0) throw new RangeError(invalidText("key", key, keyErrors));
    const following = this.#peek();
    if (negated || following.type === "end" || (following.type === "symbol" && following.literal === ",")) {
      return { key, operator: negated ? "!" : "exists", values: [] };
    }
    const operatorToken = this.#next();
    const operator = operatorOf(operatorToken);
    if (operator === undefined)
      throw new RangeError(`found '${operatorToken.literal}', expected: in, notin, =, ==, !=, gt, lt`);
    const values = operator === "in" || operator === "notin" ? this.#values() : [this.#exactValue()];
    if ((operator === "gt" || operator === "lt") && !/^[+-]?\d+$/.test(values[0] ?? ""))
      throw new RangeError(
        `values[0][${key}]: Invalid value: ${JSON.stringify(values[0])}: for 'Gt', 'Lt' operators, the value must be an integer`,
      );
    for (const [index, value] of values.entries()) {
      const errors = labelValueErrors(value);
      if (errors.length > 0) throw new RangeError(invalidText(`values[${index}][${key}]`, value, errors));
    }
    return { key, operator, values };
  }

  #values(): string[] {
    const open = this.#next();
    if (open.literal !== "(") throw new RangeError(`found '${open.literal}' expected: '('`);
    const first = this.#peek();
    const values = new Set<string>();
    if (first.literal === ")" && first.type === "symbol") {
      this.#next();
      return [""];
    }
    if (first.type !== "identifier" && !isWord(first) && first.literal !== ",")
      throw new RangeError(`found '${first.literal}', expected: ',', ')' or identifier`);
    for (;;) {
      const token = this.#next();
      if (token.type === "identifier" || isWord(token)) {
        values.add(token.literal);
        const next = this.#peek();
        if (next.literal === ",") continue;
        if (next.literal === ")") break;
        throw new RangeError(`found '${next.literal}', expected: ',' or ')'`);
      }
      if (token.literal === ",") {
        if (values.size === 0) values.add("");
        const next = this.#peek();
        if (next.literal === ")" && next.type === "symbol") {
          values.add("");
          break;
        }
        if (next.literal === "," && next.type === "symbol") {
          this.#next();
          values.add("");
        }
        continue;
      }
      throw new RangeError(`found '${token.literal}', expected: ',', or identifier`);
    }
    const close = this.#next();
    if (close.literal !== ")") throw new RangeError(`found '${close.literal}', expected: ')'`);
    return [...values].sort();
  }

  #exactValue(): string {
    const token = this.#peek();
    if (token.type === "end" || token.literal === ",") return "";
    this.#next();
    if (token.type === "identifier" || isWord(token)) return token.literal;
    throw new RangeError(`found '${token.literal}', expected: identifier`);
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? { type: "end", literal: "" };
  }

  #next(): Token {
    const token = this.#peek();
    this.#at += 1;
    return token;
  }
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let rest = text;
  for (;;) {
    rest = rest.replace(/^[ \t\r\n]+/, "");
    if (rest === "") return tokens;
    const symbols = /^[=!(),<>]+/.exec(rest)?.[0];
    if (symbols !== undefined) {
      const symbol =
        ["==", "!=", "=", "!", "(", ")", ",", "<", ">"].find((each) => symbols.startsWith(each)) ?? "";
      tokens.push({ type: "symbol", literal: symbol });
      rest = rest.slice(symbol.length);
      continue;
    }
    const word = /^[^=!(),<> \t\r\n]+/.exec(rest)?.[0] ?? "";
    tokens.push({ type: word === "in" || word === "notin" ? word : "identifier", literal: word });
    rest = rest.slice(word.length);
  }
}

/** "in" and "notin" are ordinary words where a key or value stands. */
function isWord(token: Token): boolean {
  return token.type === "in" || token.type === "notin";
}

function operatorOf(token: Token): SelectorOperator | undefined {
  if (token.type === "in" || token.type === "notin") return token.type;
  if (token.type !== "symbol") return undefined;
  if (token.literal === ">") return "gt";
  if (token.literal === "<") return "lt";
  return token.literal === "=" || token.literal === "==" || token.literal === "!="
    ? token.literal
    : undefined;
}

function invalidText(field: string, value: string, errors: string[]): string {
  return `${field}: Invalid value: ${JSON.stringify(value)}: ${errors.join("; ")}`;
}
