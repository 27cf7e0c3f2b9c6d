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
    const { status } = object as { status?: unknown };
    const known = resource.stored.cache.get(objectKey(resource.stored, namespace, name));
    if (known !== undefined && (status === undefined || known.decode()["status"] !== undefined)) return;
    const base = place.group === "" ? `/api/${place.version}` : `/apis/${place.group}/${place.version}`;
    const path =
      namespace === "" ? `${base}/${place.plural}` : `${base}/namespaces/${namespace}/${place.plural}`;
    if (known === undefined && !(await this.#send("POST", path, "application/json", object))) return;
    // A status is not taken at creation: it is written as whoever observes the object would.
    if (status === undefined) return;
    await this.#send("PATCH", `${path}/${name}/status`, "application/merge-patch+json", { status });
  }

  /** False when somebody else was faster. */
  async #send(method: string, path: string, contentType: string, body: unknown): Promise<boolean> {
    const response = await this.#handler({
      method,
      path,
      query: "fieldManager=kube-apiserver",
      headers: { "content-type": contentType, accept: "application/json" },
      body: Buffer.from(JSON.stringify(body)),
      signal: new AbortController().signal,
      user: serverUser,
    });
    if (response.status < 300) return true;
    if (response.status === 409) return false;
    const text = Buffer.from(response.body as Uint8Array).toString("utf8");
    this.#logger.warn("a bootstrap object could not be written", {
      method,
      path,
      answer: text.slice(0, 500),
    });
    throw new StatusError("", `bootstrap: ${method} ${path}: ${text.slice(0, 500)}`, {
      code: response.status,
    });
  }
}
