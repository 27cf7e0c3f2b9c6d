/**
 * What a cluster has from its first second: namespaces, roles and bindings, priority classes, flow
 * schemas, and the `kubernetes` Service. Each object is created if it is missing and otherwise left
 * alone; several servers may do this at the same time.
 */
import { StatusError } from "#base/errors.ts";
import type { HttpHandler, HttpUser } from "#base/http.ts";
import type { Logger } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { ResourceRegistry } from "../registry.ts";
import { objectKey } from "../registry.ts";
import { namespaceObject, systemNamespaces } from "./namespaces.ts";

/** The server's own identity. */
export const serverUser: HttpUser = { name: "system:apiserver", groups: ["system:masters"] };

export interface BootstrapObjects {
  group: string;
  version: string;
  plural: string;
  objects: readonly KubeObject[];
}

export class Bootstrap {
  readonly #handler: HttpHandler;
  readonly #registry: ResourceRegistry;
  readonly #logger: Logger;

  constructor(options: { handler: HttpHandler; registry: ResourceRegistry; logger: Logger }) {
    this.#handler = options.handler;
    this.#registry = options.registry;
    this.#logger = options.logger;
  }

  async createNamespaces(): Promise<void> {
    await this.createMissing({
      group: "",
      version: "v1",
      plural: "namespaces",
      objects: systemNamespaces.map(namespaceObject),
    });
  }

  async createMissing(wanted: BootstrapObjects): Promise<void> {
    await Promise.all(wanted.objects.map((object) => this.#createIfMissing(wanted, object)));
  }

  async #createIfMissing(place: BootstrapObjects, object: KubeObject): Promise<void> {
    const resource = this.#registry.find(place.group, place.version, place.plural);
    if (resource?.stored === undefined) return;
    const namespace = object.metadata.namespace ?? "";
    const name = object.metadata.name ?? "";
    if (resource.stored.cache.get(objectKey(resource.stored, namespace, name)) !== undefined) return;
    const base = place.group === "" ? `/api/${place.version}` : `/apis/${place.group}/${place.version}`;
    const path =
      namespace === "" ? `${base}/${place.plural}` : `${base}/namespaces/${namespace}/${place.plural}`;
    const response = await this.#handler({
      method: "POST",
      path,
      query: "fieldManager=kube-apiserver",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: Buffer.from(JSON.stringify(object)),
      signal: new AbortController().signal,
      user: serverUser,
    });
    if (response.status < 300 || response.status === 409) return;
    const text = Buffer.from(response.body as Uint8Array).toString("utf8");
    this.#logger.warn("a bootstrap object could not be created", { path, name, answer: text.slice(0, 500) });
    throw new StatusError("", `bootstrap: ${path}/${name}: ${text.slice(0, 500)}`, { code: response.status });
  }
}
