/** URLs: url(…), isURL(…) and the parts of one. */
import type { Environment } from "@marcbachmann/cel-js";

class CelUrl {
  readonly url: URL;
  /** A path without scheme and host, as in "/a?b". */
  readonly isRelative: boolean;

  constructor(text: string) {
    this.isRelative = text.startsWith("/");
    this.url = this.isRelative ? new URL(text, "relative://host") : new URL(text);
  }
}

export function registerUrls(environment: Environment): void {
  const part = (read: (url: URL) => string) => (value: CelUrl) => read(value.url);
  const unlessRelative = (read: (url: URL) => string) => (value: CelUrl) =>
    value.isRelative ? "" : read(value.url);
  environment
    .registerType("kubernetes.URL", { ctor: CelUrl, fields: {} })
    .registerOperator(
      "kubernetes.URL == kubernetes.URL",
      (left: CelUrl, right: CelUrl) => left.url.href === right.url.href,
    )
    .registerFunction("url(string): kubernetes.URL", (text: string) => parse(text))
    .registerFunction("isURL(string): bool", (text: string) => isUrl(text))
    .registerFunction(
      "kubernetes.URL.getScheme(): string",
      unlessRelative((url) => url.protocol.replace(/:$/, "")),
    )
    .registerFunction(
      "kubernetes.URL.getHost(): string",
      unlessRelative((url) => url.host),
    )
    .registerFunction(
      "kubernetes.URL.getHostname(): string",
      unlessRelative((url) => url.hostname.replace(/^\[|\]$/g, "")),
    )
    .registerFunction(
      "kubernetes.URL.getPort(): string",
      unlessRelative((url) => url.port),
    )
    .registerFunction(
      "kubernetes.URL.getEscapedPath(): string",
      part((url) => url.pathname),
    )
    .registerFunction("kubernetes.URL.getQuery(): map<string, list<string>>", (value: CelUrl) => {
      const { searchParams } = value.url;
      return Object.fromEntries(
        [...new Set(searchParams.keys())].map((key) => [key, searchParams.getAll(key)]),
      );
    });
}

function parse(text: string): CelUrl {
  if (!isUrl(text)) throw new Error(`URL parse error during conversion from string: ${JSON.stringify(text)}`);
  return new CelUrl(text);
}

function isUrl(text: string): boolean {
  return text.startsWith("/") || (/^[a-z][a-z0-9+.-]*:\/\//i.test(text) && URL.canParse(text));
}
