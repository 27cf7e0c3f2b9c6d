/**
 * The format of data-driven tests: a file of `command args`, optional input lines, `----`, and the
 * expected output up to a blank line. Lines that begin with # are comments.
 */

export interface Directive {
  command: string;
  /** Bare arguments, in order. */
  positional: string[];
  /** key=value and key=(a,b). */
  options: Map<string, string[]>;
  input: string[];
  expected: string;
  line: number;
}

export function parseDatadriven(text: string): Directive[] {
  const lines = text.split("\n");
  const directives: Directive[] = [];
  for (let position = 0; position < lines.length;) {
    const head = lines[position] ?? "";
    if (head.trim() === "" || head.startsWith("#")) {
      position++;
      continue;
    }
    const line = position + 1;
    const separator = lines.indexOf("----", position);
    if (separator < 0) throw new Error(`line ${line}: no ---- after the command`);
    const blank = lines.indexOf("", separator);
    const end = blank < 0 ? lines.length : blank;
    directives.push({
      ...parseCommand(head),
      input: lines.slice(position + 1, separator),
      expected: lines.slice(separator + 1, end).join("\n"),
      line,
    });
    position = end;
  }
  return directives;
}

function parseCommand(head: string): Pick<Directive, "command" | "positional" | "options"> {
  const [command = "", ...words] = head.match(/(?:\([^)]*\)|\S)+/g) ?? [];
  const positional: string[] = [];
  const options = new Map<string, string[]>();
  for (const word of words) {
    const equals = word.indexOf("=");
    if (equals < 0) positional.push(word);
    else options.set(word.slice(0, equals), parseValues(word.slice(equals + 1)));
  }
  return { command, positional, options };
}

function parseValues(text: string): string[] {
  if (!text.startsWith("(")) return [text];
  const inner = text.slice(1, -1).trim();
  return inner === "" ? [] : inner.split(",").map((value) => value.trim());
}
