/** Field selectors of requests ("metadata.name=a,status.phase!=Running"), with upstream's errors. */

export interface FieldRequirement {
  field: string;
  operator: "=" | "!=";
  value: string;
}

/** Parses; throws RangeError with upstream's text. "\\," "\\=" and "\\\\" are escapes. */
export function parseFieldSelector(text: string): FieldRequirement[] {
  const requirements: FieldRequirement[] = [];
  for (const term of splitTerms(text)) {
    if (term === "") continue;
    const match = /^((?:[^=!\\]|\\.)*?)(!=|==|=)(.*)$/s.exec(term);
    if (match === null) throw new RangeError(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, field = "", operator, value = ""] = match;
    requirements.push({ field, operator: operator === "!=" ? "!=" : "=", value: unescape(value) });
  }
  return requirements.sort((a, b) => (a.field < b.field ? -1 : a.field > b.field ? 1 : 0));
}

/** True where all requirements hold; `valueOf` gives a field's value ("" where it is absent). */
export function matchesFields(
  requirements: readonly FieldRequirement[],
  valueOf: (field: string) => string,
): boolean {
  return requirements.every((each) => (valueOf(each.field) === each.value) === (each.operator === "="));
}

function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let term = "";
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index] ?? "";
    if (character === "\\") {
      term += character + (text[index + 1] ?? "");
      index += 1;
    } else if (character === ",") {
      terms.push(term);
      term = "";
    } else term += character;
  }
  terms.push(term);
  return terms;
}

function unescape(value: string): string {
  return value.replace(
    /\\([\\,=])|\\(.?)|([,=])/gs,
    (_all, good: string | undefined, bad: string | undefined, raw) => {
      if (good !== undefined) return good;
      if (raw !== undefined)
        throw new RangeError(
          `invalid field selector: unescaped character in value: ${String(raw).charCodeAt(0)}`,
        );
      throw new RangeError(`invalid field selector: invalid escape sequence: \\${bad ?? ""}`);
    },
  );
}
