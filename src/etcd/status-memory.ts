/** What response headers need of the backend, remembered between changes of leadership. */
import type { Backend } from "#base/backend.ts";
import { header } from "./messages.ts";
import type { HeaderSource } from "./messages.ts";

/** Member id and term for response headers. The term may be as old as the last change of leadership seen. */
export class StatusMemory {
  readonly #backend: Backend;
  readonly #clusterId: string;
  readonly #forget: () => void;
  #last: Promise<HeaderSource> | undefined;

  constructor(backend: Backend, clusterId: string) {
    this.#backend = backend;
    this.#clusterId = clusterId;
    this.#forget = backend.onLeadership(() => (this.#last = undefined));
  }

  /** The header of an answer that was made at `revision`. */
  async header(revision: number): Promise<unknown> {
    this.#last ??= this.#backend.status().then(
      ({ memberId, term }) => ({ memberId, term, clusterId: this.#clusterId }),
      (error: unknown) => {
        this.#last = undefined;
        throw error;
      },
    );
    return header(await this.#last, revision);
  }

  close(): void {
    this.#forget();
  }
}
