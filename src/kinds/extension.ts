/**
 * A resource whose objects are computed and not stored, by whoever adds it to a running API server
 * (add-ons). The kind says what it is called and how it is shown; the API server does the rest:
 * discovery, OpenAPI, authorization, selectors, tables.
 */
import type { AnyKind } from "./kind.ts";
import type { KubeObject } from "./object.ts";
import type { Schema } from "./schema.ts";

export interface ExtensionResource {
  /** `stored` is false and `verbs` are among get and list. */
  kind: AnyKind;
  /** Of one object, for OpenAPI. */
  schema: Schema;
  /**
   * All objects of a namespace; "" means all namespaces, and is what cluster-scoped kinds get. Answers at
   * once, from memory: whoever must ask others for the values does so beforehand.
   */
  list(namespace: string): KubeObject[];
}
