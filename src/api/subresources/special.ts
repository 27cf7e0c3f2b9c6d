/**
 * Handlers of what is not plain storage: subresources that speak another kind, kinds that are answered
 * and not stored. Found by resource, subresource and method.
 */
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import type { Answer } from "../rest/answer.ts";
import type { Resource } from "../registry.ts";
import { methodNotAllowedOnPath } from "../status.ts";

export type SpecialHandler = (core: ApiCore, request: ResourceRequest) => Promise<Answer>;

/** By method. */
export type MethodHandlers = Readonly<Record<string, SpecialHandler>>;

export class SpecialHandlers {
  readonly #handlers: ReadonlyMap<string, MethodHandlers>;
  readonly #withPath: ReadonlySet<string>;

  /**
   * Keys are "resource.group/subresource" ("pods/binding", "tokenreviews.authentication.k8s.io/", and
   * "any resource by its star key" for every resource). `withPath`: those that take a further path (proxy).
   */
  constructor(handlers: Readonly<Record<string, MethodHandlers>>, withPath: readonly string[]) {
    this.#handlers = new Map(Object.entries(handlers));
    this.#withPath = new Set(withPath);
  }

  /** Throws when the path exists but not with this method. Undefined: an ordinary one. */
  find(resource: Resource, subresource: string, method: string): SpecialHandler | undefined {
    const exact = this.#handlers.get(keyOf(resource, subresource));
    const isDeclared = resource.kind.subresources?.[subresource] !== undefined;
    const methods =
      exact ?? (subresource !== "" && isDeclared ? this.#handlers.get(`*/${subresource}`) : undefined);
    if (methods === undefined) return undefined;
    const handler = methods[method];
    if (handler === undefined && subresource !== "") throw methodNotAllowedOnPath();
    return handler;
  }

  withPath(resource: Resource, subresource: string): SpecialHandler | undefined {
    const key = keyOf(resource, subresource);
    if (!this.#withPath.has(key)) return undefined;
    return this.#handlers.get(key)?.["GET"];
  }
}

function keyOf(resource: Resource, subresource: string): string {
  const { group, plural } = resource.kind;
  return `${group === "" ? plural : `${plural}.${group}`}/${subresource}`;
}
