/** `$(NAME)` in commands, arguments, environment values and subPathExpr: upstream's expansion. */

/**
 * Replaces references by what `lookup` knows; unknown ones stay as they are; `$$` is one dollar sign.
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  let result = "";
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (character !== "$" || index + 1 === text.length) {
      result += character;
      continue;
    }
    const next = text[index + 1];
    if (next === "$") {
      result += "$";
      index++;
      continue;
    }
    const end = next === "(" ? text.indexOf(")", index) : -1;
    if (end === -1) {
      result += `$${next}`;
      index++;
      continue;
    }
    const name = text.slice(index + 2, end);
    result += lookup(name) ?? `$(${name})`;
    index = end;
  }
  return result;
}
