/**
 * A list that stays current: the server's own table of a kind (the columns of kubectl get), followed by
 * a watch. A watch that ends or breaks is followed by a new list; nothing polls but kinds without watch.
 */
import { ApiError, getJson, linesOf, request } from "./api.js";

const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
const retryMs = 2_000;
const pollMs = 5_000;

/**
 * @typedef {object} Row
 * @property {any[]} cells
 * @property {any} object the object, or its metadata alone
 */

export class LiveTable {
  /** @type {{ name: string, priority: number }[]} */
  columns = [];
  /** By uid. @type {Map<string, Row>} */
  rows = new Map();
  /** @type {string | undefined} why it is not current */
  trouble = "loading …";
  #stopped = new AbortController();
  /** @type {{ path: string, include: "Object" | "Metadata", canWatch: boolean, onChange: () => void }} */
  #options;

  /** @param {{ path: string, include: "Object" | "Metadata", canWatch: boolean, onChange: () => void }} options */
  constructor(options) {
    this.#options = options;
    void this.#follow();
  }

  stop() {
    this.#stopped.abort();
  }

  async #follow() {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        const version = await this.#list();
        if (this.#options.canWatch) await this.#watch(version);
        else await pause(pollMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        const isExpired = error instanceof ApiError && error.code === 410;
        if (isExpired) continue;
        this.trouble = error instanceof ApiError ? error.message : "the server does not answer";
        this.#options.onChange();
        await pause(retryMs, signal);
      }
    }
  }

  /** @returns {Promise<string>} the version from which to watch */
  async #list() {
    const { path, include, onChange } = this.#options;
    const table = await getJson(`${path}?includeObject=${include}`, {
      accept,
      signal: this.#stopped.signal,
    });
    this.columns = table.columnDefinitions;
    this.rows = new Map((table.rows ?? []).map((/** @type {Row} */ row) => [keyOf(row), row]));
    this.trouble = undefined;
    onChange();
    return table.metadata.resourceVersion;
  }

  /** @param {string} version */
  async #watch(version) {
    const { path, include, onChange } = this.#options;
    const query = `watch=true&resourceVersion=${version}&includeObject=${include}`;
    const response = await request(`${path}?${query}`, { accept, signal: this.#stopped.signal });
    for await (const line of linesOf(response)) {
      const { type, object } = JSON.parse(line);
      if (type === "ERROR") throw new ApiError(object.code, object.message);
      if (type === "BOOKMARK") continue;
      for (const row of object.rows) {
        if (type === "DELETED") this.rows.delete(keyOf(row));
        else this.rows.set(keyOf(row), row);
      }
      onChange();
    }
  }
}

/** @param {Row} row */
function keyOf({ object }) {
  const { uid, namespace = "", name } = object.metadata;
  return uid ?? `${namespace}/${name}`;
}

/**
 * @param {number} ms
 * @param {AbortSignal} signal
 */
export async function pause(ms, signal) {
  await new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
