/**
 * Says what is wrong with a JSON text in the words of Go's decoder, which clients and people know.
 * Only called for a text that JSON.parse has refused.
 */

export function describeJsonError(text: string): string {
  let at = 0;

  class Problem extends Error {}
  function fail(context: string): never {
    if (at >= text.length) throw new Problem("unexpected end of JSON input");
    const char = String.fromCodePoint(text.codePointAt(at) ?? 0);
    throw new Problem(`invalid character ${quoteChar(char)} ${context}`);
  }
  function blanks(): void {
    while (at < text.length && " \t\r\n".includes(text[at] ?? "")) at++;
  }
  function literal(word: string): void {
    for (const [index, expected] of Array.from(word).entries()) {
      if (text[at] !== expected) {
        if (index === 0) fail("looking for beginning of value");
        fail(`in literal ${word} (expecting ${quoteChar(expected)})`);
      }
      at++;
    }
  }
  function string(): void {
    at++;
    while (text[at] !== '"') {
      if (at >= text.length) fail("in string literal");
      if (text[at] === "\\") {
        at++;
        if (!'"\\/bfnrtu'.includes(text[at] ?? "\0") || at >= text.length) fail("in string escape code");
        if (text[at] === "u") {
          for (let digit = 0; digit < 4; digit++) {
            at++;
            if (!/[0-9a-fA-F]/.test(text[at] ?? "")) fail("in \\u hexadecimal character escape");
          }
        }
      } else if ((text.codePointAt(at) ?? 32) < 32) fail("in string literal");
      at++;
    }
    at++;
  }
  function number(): void {
    if (text[at] === "-") {
      at++;
      if (!/\d/.test(text[at] ?? "")) fail("in numeric literal");
    }
    if (text[at] === "0") at++;
    else while (/\d/.test(text[at] ?? "")) at++;
    if (text[at] === ".") {
      at++;
      if (!/\d/.test(text[at] ?? "")) fail("after decimal point in numeric literal");
      while (/\d/.test(text[at] ?? "")) at++;
    }
    if (text[at] === "e" || text[at] === "E") {
      at++;
      if (text[at] === "+" || text[at] === "-") at++;
      if (!/\d/.test(text[at] ?? "")) fail("in exponent of numeric literal");
      while (/\d/.test(text[at] ?? "")) at++;
    }
  }
  function value(): void {
    blanks();
    const char = text[at] ?? "";
    if (char === "{") object();
    else if (char === "[") array();
    else if (char === '"') string();
    else if (char === "-" || /\d/.test(char)) number();
    else if (char === "t") literal("true");
    else if (char === "f") literal("false");
    else if (char === "n") literal("null");
    else fail("looking for beginning of value");
    blanks();
  }
  function object(): void {
    at++;
    blanks();
    if (text[at] === "}") {
      at++;
      return;
    }
    for (;;) {
      blanks();
      if (text[at] !== '"') fail("looking for beginning of object key string");
      string();
      blanks();
      if (text[at] !== ":") fail("after object key");
      at++;
      value();
      if (text[at] === "}") break;
      if (text[at] !== ",") fail("after object key:value pair");
      at++;
    }
    at++;
  }
  function array(): void {
    at++;
    blanks();
    if (text[at] === "]") {
      at++;
      return;
    }
    for (;;) {
      value();
      if (text[at] === "]") break;
      if (text[at] !== ",") fail("after array element");
      at++;
    }
    at++;
  }

  try {
    value();
    if (at < text.length) fail("after top-level value");
    return "invalid JSON";
  } catch (error) {
    if (error instanceof Problem) return error.message;
    throw error;
  }
}

function quoteChar(char: string): string {
  if (char === "'") return "'\\''";
  if (char === '"') return "'\"'";
  return `'${JSON.stringify(char).slice(1, -1)}'`;
}
