/** What is wrong with a YAML text, for the commonest mistakes in the words of upstream's library. */
import type { YAMLParseError } from "yaml";

export function describeYamlError(problem: YAMLParseError, text: string): string {
  switch (problem.code) {
    case "TAB_AS_INDENT":
      return `${lineOf(text, problem.pos[0])}found character that cannot start any token`;
    case "BLOCK_AS_IMPLICIT_KEY":
      return `${lineOf(text, colonAfter(text, problem.pos[0]))}mapping values are not allowed in this context`;
    case "BAD_INDENT":
    case "MISSING_CHAR": {
      const end = text.trimEnd();
      if (!problem.message.startsWith("Flow ") || problem.pos[0] < end.length) break;
      const close = problem.message.startsWith("Flow map") ? "}" : "]";
      const what = /[[{,:]$/.test(end)
        ? "did not find expected node content"
        : `did not find expected ',' or '${close}'`;
      return `line ${text.split("\n").length - (text.endsWith("\n") ? 1 : 0)}: ${what}`;
    }
    default:
  }
  const line = problem.linePos?.[0].line ?? 1;
  return `line ${line}: ${(problem.message.split("\n")[0] ?? "").replace(/ at line \d+.*$/, "")}`;
}

/** Upstream counts from zero, names no line that it counts as zero, and says the next one otherwise. */
function lineOf(text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n").length - 1;
  return before === 0 ? "" : `line ${before + 1}: `;
}

/** Where the second key's colon stands. */
function colonAfter(text: string, offset: number): number {
  const at = text.slice(offset).search(/:(\s|$)/);
  return at < 0 ? offset : offset + at;
}
