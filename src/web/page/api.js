/**
 * The Kubernetes API as this page uses it: requests with the user's own token, streams of lines, and
 * what discovery says is served. The token stays in this tab (sessionStorage) and goes nowhere else.
 */

const root = new URL("../../", import.meta.url);
const tokenKey = "trivet-token";

export class ApiError extends Error {
  /**
   * @param {number} code HTTP status
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** @returns {string | undefined} */
export function token() {
  return sessionStorage.getItem(tokenKey) ?? undefined;
}

/** @param {string | undefined} value */
export function setToken(value) {
  if (value === undefined) sessionStorage.removeItem(tokenKey);
  else sessionStorage.setItem(tokenKey, value);
}

/**
 * The response, once it is a good one. Rejects with an ApiError that has the server's own message.
 * @param {string} path without the leading slash
 * @param {{ accept?: string, body?: unknown, signal?: AbortSignal | undefined }} [options]
 */
export async function request(path, options = {}) {
  const headers = new Headers({ accept: options.accept ?? "application/json" });
  const bearer = token();
  if (bearer !== undefined) headers.set("authorization", `Bearer ${bearer}`);
  if (options.body !== undefined) headers.set("content-type", "application/json");
  const response = await fetch(new URL(path, root), {
    method: options.body === undefined ? "GET" : "POST",
    headers,
    body: options.body === undefined ? null : JSON.stringify(options.body),
    signal: options.signal ?? null,
    cache: "no-store",
  });
  if (response.ok) return response;
  const text = await response.text();
  throw new ApiError(response.status, messageOf(text) ?? (text.trim() || response.statusText));
}

/** @param {string} text */
function messageOf(text) {
  try {
    return JSON.parse(text).message;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} path
 * @param {Parameters<typeof request>[1]} [options]
 */
export async function getJson(path, options) {
  return (await request(path, options)).json();
}

/**
 * The lines of a stream as they come.
 * @param {Response} response
 */
export async function* linesOf(response) {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** Who the server says that this is; undefined for nobody in particular. */
export async function whoAmI() {
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
  try {
    const review = await (await request("apis/authentication.k8s.io/v1/selfsubjectreviews", { body })).json();
    const name = review.status.userInfo.username;
    return name === "system:anonymous" ? undefined : name;
  } catch (error) {
    if (error instanceof ApiError && (error.code === 401 || error.code === 403)) return undefined;
    throw error;
  }
}

/**
 * A resource that the server serves.
 * @typedef {object} Kind
 * @property {string} group
 * @property {string} version
 * @property {string} plural
 * @property {string} kind
 * @property {boolean} namespaced
 * @property {string[]} verbs
 * @property {string[]} categories
 */

/**
 * Every kind that can be listed, in the preferred version of its group.
 * @returns {Promise<Kind[]>}
 */
export async function discover() {
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const lists = await Promise.all(["api", "apis"].map((path) => getJson(path, { accept })));
  return lists
    .flatMap((list) => list.items)
    .flatMap(({ metadata, versions }) =>
      versions[0].resources.map((/** @type {any} */ each) => ({
        group: metadata.name ?? "",
        version: versions[0].version,
        plural: each.resource,
        kind: each.responseKind.kind,
        namespaced: each.scope === "Namespaced",
        verbs: each.verbs,
        categories: each.categories ?? [],
      })),
    )
    .filter((each) => each.verbs.includes("list"));
}

/**
 * The path of a kind's list; the namespace "" means all of them.
 * @param {Pick<Kind, "group" | "version" | "plural" | "namespaced">} kind
 * @param {string} namespace
 */
export function listPath(kind, namespace) {
  const head = kind.group === "" ? `api/${kind.version}` : `apis/${kind.group}/${kind.version}`;
  const scope = kind.namespaced && namespace !== "" ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${head}${scope}/${kind.plural}`;
}
