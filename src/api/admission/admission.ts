/**
 * The admission chain: plugins that may change an object before it is validated, and plugins that may
 * refuse it after. They run in upstream's order; each is one file in this folder.
 */
import type { HttpUser } from "#base/http.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Resource } from "../registry.ts";

export interface AdmissionRequest {
  operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  resource: Resource;
  subresource: string;
  namespace: string;
  name: string;
  /** The new state in the version of the request; undefined for deletions. Plugins may change it in `admit`. */
  object: KubeObject | undefined;
  /** The stored state; undefined for creations. */
  old: KubeObject | undefined;
  user: HttpUser;
  dryRun: boolean;
  /** Texts for Warning headers. */
  warnings: string[];
  /** RFC 3339. */
  now: string;
}

export interface AdmissionPlugin {
  name: string;
  /** May change `request.object`; may refuse by throwing a StatusError. */
  admit?(request: AdmissionRequest): void | Promise<void>;
  /** May refuse by throwing a StatusError; must change nothing. */
  validate?(request: AdmissionRequest): void | Promise<void>;
}

export class AdmissionChain {
  readonly #plugins: readonly AdmissionPlugin[];

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.#plugins = plugins;
  }

  async admit(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.#plugins) {
      const pending = plugin.admit?.(request);
      if (pending !== undefined) await pending;
    }
  }

  async validate(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.#plugins) {
      const pending = plugin.validate?.(request);
      if (pending !== undefined) await pending;
    }
  }
}
