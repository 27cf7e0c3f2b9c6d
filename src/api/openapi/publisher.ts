/**
 * Publishes OpenAPI: the v3 index, one v3 document per group and version, and the v2 document, made from
 * the kinds that are served. Documents are made when they are asked for and kept until the kinds change
 * or nobody has asked for a while; their hash is in the index, so that clients may cache them for ever.
 */
import { createHash } from "node:crypto";
import type { Clock, Timer } from "#base/ports.ts";
import type { AnyKind } from "#kinds/kind.ts";
import type { Schema } from "#kinds/schema.ts";
import { findSchema } from "#kinds/schemas.ts";
import { operationPrefix, pathsOf, reference, tagOf } from "./operations.ts";
import type { Json } from "./operations.ts";
import { publishedSchemas } from "./published-schemas.ts";
import { toOpenApiV2 } from "./v2.ts";

export interface PublishedKind {
  kind: AnyKind;
  /** Schema of a custom resource; built-in kinds are found by `kind.schemaName`. */
  schema?: Schema | undefined;
}

/** A document, serialized. `hash` is its ETag, without quotes. */
export interface PublishedDocument {
  body: string;
  hash: string;
}

/** The documents are megabytes and their readers cache them: they are not kept for longer than this. */
const keptMs = 60_000;

export class OpenApiPublisher {
  readonly #kinds: () => Iterable<PublishedKind>;
  readonly #version: string;
  readonly #clock: Clock;
  #documents = new Map<string, PublishedDocument>();
  /** Hashes of all documents that have been made since the kinds changed; they outlive the documents. */
  #hashes = new Map<string, string>();
  #idle: Timer | undefined;
  #paths: readonly string[] | undefined;

  /** `kinds` gives what is served now; call `invalidate` when that changes. `version` is "1.32". */
  constructor(options: { kinds: () => Iterable<PublishedKind>; version: string; clock: Clock }) {
    this.#clock = options.clock;
    this.#kinds = options.kinds;
    this.#version = options.version;
  }

  invalidate(): void {
    this.#documents = new Map();
    this.#hashes = new Map();
    this.#paths = undefined;
  }

  close(): void {
    this.#idle?.cancel();
  }

  /** The answer to /openapi/v3. Making it makes every document, since it names their hashes. */
  index(): PublishedDocument {
    return this.#remember("index", () => ({
      paths: Object.fromEntries(
        this.#allPaths().map((path) => [
          path,
          { serverRelativeURL: `/openapi/v3/${path}?hash=${this.#hashOf(path)}` },
        ]),
      ),
    }));
  }

  /** The document of "api/v1", "apis/apps/v1", "apis/apps", "apis", …; undefined where there is none. */
  document(path: string): PublishedDocument | undefined {
    if (!this.#allPaths().includes(path)) return undefined;
    return this.#remember(`v3/${path}`, () => this.#build(path));
  }

  #hashOf(path: string): string {
    return this.#hashes.get(`v3/${path}`) ?? this.document(path)?.hash ?? "";
  }

  /** The answer to /openapi/v2, as JSON. */
  v2(): PublishedDocument {
    return this.#remember("v2", () => {
      const documents = this.#allPaths().map((path) => this.#build(path));
      return toOpenApiV2(documents, { title: "Kubernetes", version: this.#version });
    });
  }

  #allPaths(): readonly string[] {
    if (this.#paths !== undefined) return this.#paths;
    const paths = new Set(["api", "apis", "version"]);
    for (const { kind, schema } of this.#kinds()) {
      if (kind.group === "") paths.add(`api/${kind.version}`);
      else {
        if (schema === undefined) paths.add(`apis/${kind.group}`);
        paths.add(`apis/${kind.group}/${kind.version}`);
      }
    }
    return (this.#paths = [...paths].sort());
  }

  #remember(key: string, make: () => Json): PublishedDocument {
    this.#idle?.cancel();
    this.#idle = this.#clock.setTimer(keptMs, () => this.#documents.clear());
    const known = this.#documents.get(key);
    if (known !== undefined) return known;
    const body = JSON.stringify(make());
    const hash = createHash("sha512").update(body).digest("hex").toUpperCase();
    const document = { body, hash };
    this.#documents.set(key, document);
    this.#hashes.set(key, hash);
    return document;
  }

  #build(path: string): Json {
    const [root, group, version] = path.split("/");
    if (root === "version")
      return this.#discovery(
        "/version/",
        "getCodeVersion",
        "version",
        "io.k8s.apimachinery.pkg.version.Info",
      );
    if (root === "api" && group === undefined)
      return this.#discovery("/api/", "getCoreAPIVersions", "core", `${meta}.APIVersions`);
    if (root === "apis" && group === undefined)
      return this.#discovery("/apis/", "getAPIVersions", "apis", `${meta}.APIGroupList`);
    if (root === "apis" && group !== undefined && version === undefined)
      return this.#discovery(
        `/apis/${group}/`,
        `get${operationPrefix(group, "")}APIGroup`,
        tagOf(group, ""),
        `${meta}.APIGroup`,
      );
    return root === "api"
      ? this.#versionDocument("", group ?? "")
      : this.#versionDocument(group ?? "", version ?? "");
  }

  #versionDocument(group: string, version: string): Json {
    const own = new Map<string, Schema>();
    const paths: Record<string, Json> = {};
    const isServed = ({ kind }: PublishedKind) => kind.group === group && kind.version === version;
    const kinds = [...this.#kinds()].filter(isServed);
    const custom = kinds.length > 0 && kinds.every((each) => each.schema !== undefined);
    for (const { kind, schema } of kinds) {
      const name = schema === undefined ? kind.schemaName : customName(kind);
      if (schema !== undefined)
        for (const [each, made] of customSchemas(kind, name, schema)) own.set(each, made);
      Object.assign(paths, pathsOf(kind, { object: name, list: `${name}List` }, schema !== undefined));
    }
    if (!custom) {
      const base = group === "" ? `/api/${version}/` : `/apis/${group}/${version}/`;
      paths[base] = discoveryPath(
        `get${operationPrefix(group, version)}APIResources`,
        tagOf(group, version),
        `${meta}.APIResourceList`,
      );
    }
    const lookup = (name: string) => own.get(name) ?? findSchema(name);
    return this.#document(
      paths,
      lookup,
      custom ? { title: "Kubernetes CRD Swagger", version: "v0.1.0" } : undefined,
    );
  }

  #discovery(path: string, operationId: string, tag: string, schema: string): Json {
    return this.#document({ [path]: discoveryPath(operationId, tag, schema) }, findSchema);
  }

  #document(
    paths: Record<string, Json>,
    lookup: (name: string) => Schema | undefined,
    info: Json = { title: "Kubernetes", version: this.#version },
  ): Json {
    const sorted = Object.fromEntries(
      Object.entries(paths).sort(([left], [right]) => (left < right ? -1 : 1)),
    );
    return {
      openapi: "3.0.0",
      info,
      paths: sorted,
      components: {
        schemas: publishedSchemas(sorted, lookup),
        securitySchemes: { BearerToken: { type: "apiKey", name: "authorization", in: "header" } },
      },
    };
  }
}

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";

function discoveryPath(operationId: string, tag: string, schema: string): Json {
  const types = ["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];
  return {
    get: {
      tags: [tag],
      operationId,
      responses: {
        "200": {
          description: "OK",
          content: Object.fromEntries(types.map((type) => [type, { schema: reference(schema) }])),
        },
        "401": { description: "Unauthorized" },
      },
    },
  };
}

/** The definition name of a custom kind: its group backwards, then version and kind ("com.example.v1.Widget"). */
function customName(kind: AnyKind): string {
  return `${kind.group.split(".").reverse().join(".")}.${kind.version}.${kind.kind}`;
}

function customSchemas(kind: AnyKind, name: string, schema: Schema): [string, Schema][] {
  const { group, version } = kind;
  const identity = { apiVersion: { type: "string" }, kind: { type: "string" } } as const;
  const object: Schema = {
    ...schema,
    properties: {
      ...schema.properties,
      ...identity,
      metadata: { $ref: `#/components/schemas/${meta}.ObjectMeta` },
    },
    "x-kubernetes-group-version-kind": [{ group, version, kind: kind.kind }],
  };
  const list: Schema = {
    type: "object",
    required: ["items"],
    properties: {
      ...identity,
      items: { type: "array", items: { $ref: `#/components/schemas/${name}` } },
      metadata: { $ref: `#/components/schemas/${meta}.ListMeta` },
    },
    "x-kubernetes-group-version-kind": [{ group, version, kind: `${kind.kind}List` }],
  };
  return [
    [name, object],
    [`${name}List`, list],
  ];
}
