/** What response headers need of the backend, remembered between changes of leadership. */
import type { Backend, BackendStatus } from "#base/backend.ts";

/** Member id and term for response headers. The term may be as old as the last change of leadership seen. */
export class StatusMemory {
  readonly #backend: Backend;
  #last: Promise<BackendStatus> | undefined;

  constructor(backend: Backend) {
    this.#backend = backend;
    backend.onLeadership(() => (this.#last = undefined));
  }

  get(): Promise<BackendStatus> {
    this.#last ??= this.#backend.status().catch((error: unknown) => {
      this.#last = undefined;
      throw error;
    });
    return this.#last;
  }
}
