/**
 * What a handler answers, before it is brought into the representation that the client wants: an
 * object, a page of a list, or finished bytes.
 */
import type { HttpResponse } from "#base/http.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Entry } from "../cache/entry.ts";
import type { Resource } from "../registry.ts";

export type Answer =
  /** A stored object, served from its bytes where nothing must change. */
  | { type: "entry"; status: number; resource: Resource; entry: Entry }
  /** An object that is not (or not so) stored. */
  | {
      type: "object";
      status: number;
      resource: Resource | undefined;
      object: KubeObject | Record<string, unknown>;
    }
  | { type: "list"; resource: Resource; list: ListPage }
  | { type: "raw"; response: HttpResponse };

export interface ListPage {
  entries: readonly Entry[];
  resourceVersion: string;
  continue: string | undefined;
  remainingItemCount: number | undefined;
}
