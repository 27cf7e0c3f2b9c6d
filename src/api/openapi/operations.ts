/**
 * The paths of OpenAPI v3: which operations a kind's resource has, with parameters, bodies and answers.
 * Client generators read operation ids, so names follow upstream's scheme.
 */
import type { AnyKind, Subresource } from "#kinds/kind.ts";

export type Json = Record<string, unknown>;

/** Where the schemas of a kind are: its own, its list's, and those of apimachinery. */
export interface KindSchemas {
  object: string;
  list: string;
}

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";

/** All paths of the kind's resource. `custom` resources speak no protobuf and no strategic merge patch. */
export function pathsOf(kind: AnyKind, schemas: KindSchemas, custom: boolean): Record<string, Json> {
  const scope = new Scope(kind, schemas, custom);
  const result: Record<string, Json> = {};
  const collection = scope.base + scope.namespaceSegment + kind.plural;
  const object = `${collection}/{name}`;
  const collectionItem = scope.collection();
  if (Object.keys(collectionItem).length > 0)
    result[collection] = { ...collectionItem, parameters: scope.pathParameters(false) };
  const objectItem = scope.object();
  if (Object.keys(objectItem).length > 0)
    result[object] = { ...objectItem, parameters: scope.pathParameters(true) };
  for (const [name, subresource] of Object.entries(kind.subresources ?? {})) {
    const item = scope.subresource(name, subresource);
    if (Object.keys(item).length > 0)
      result[`${object}/${name}`] = { ...item, parameters: scope.pathParameters(true) };
  }
  if (kind.namespaced && kind.verbs.includes("list"))
    result[`${scope.base}${kind.plural}`] = {
      get: scope.operation("list", `list${scope.name}${kind.kind}ForAllNamespaces`, "list", {
        responses: scope.answers(schemas.list, [200], true),
      }),
      parameters: [...listParameters, pretty].sort(byName),
    };
  if (!kind.verbs.includes("watch")) return result;
  const watched = (id: string) =>
    scope.operation("watch", id, "watch", { responses: scope.answers(`${meta}.WatchEvent`, [200], true) });
  const watchParameters = (withName: boolean, namespaced: boolean) =>
    [...listParameters, pretty, ...placeParameters(withName, namespaced)].sort(byName);
  const watchBase = `${scope.base}watch/`;
  if (kind.namespaced)
    result[`${watchBase}${kind.plural}`] = {
      get: {
        ...watched(`watch${scope.name}${kind.kind}ListForAllNamespaces`),
        "x-kubernetes-action": "watchlist",
      },
      parameters: watchParameters(false, false),
    };
  result[`${watchBase}${scope.namespaceSegment}${kind.plural}`] = {
    get: {
      ...watched(`watch${scope.name}${scope.namespaced}${kind.kind}List`),
      "x-kubernetes-action": "watchlist",
    },
    parameters: watchParameters(false, kind.namespaced),
  };
  result[`${watchBase}${scope.namespaceSegment}${kind.plural}/{name}`] = {
    get: watched(`watch${scope.name}${scope.namespaced}${kind.kind}`),
    parameters: watchParameters(true, kind.namespaced),
  };
  return result;
}

/** "apps_v1", "rbacAuthorization_v1", "core_v1". */
export function tagOf(group: string, version: string): string {
  const camel = camelGroup(group);
  return `${camel.charAt(0).toLowerCase()}${camel.slice(1)}${version === "" ? "" : `_${version}`}`;
}

/** "RbacAuthorizationV1". */
export function operationPrefix(group: string, version: string): string {
  return camelGroup(group) + version.charAt(0).toUpperCase() + version.slice(1);
}

function camelGroup(group: string): string {
  if (group === "") return "Core";
  return group
    .replace(/\.k8s\.io$/, "")
    .split(/[.-]/)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join("");
}

export function reference(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

class Scope {
  readonly kind: AnyKind;
  readonly schemas: KindSchemas;
  readonly custom: boolean;
  readonly base: string;
  readonly name: string;
  readonly namespaced: string;
  readonly namespaceSegment: string;

  constructor(kind: AnyKind, schemas: KindSchemas, custom: boolean) {
    this.kind = kind;
    this.schemas = schemas;
    this.custom = custom;
    this.base = kind.group === "" ? `/api/${kind.version}/` : `/apis/${kind.group}/${kind.version}/`;
    this.name = operationPrefix(kind.group, kind.version);
    this.namespaced = kind.namespaced ? "Namespaced" : "";
    this.namespaceSegment = kind.namespaced ? "namespaces/{namespace}/" : "";
  }

  collection(): Json {
    const { kind, schemas, name, namespaced } = this;
    const item: Json = {};
    if (kind.verbs.includes("list"))
      item["get"] = this.operation("list", `list${name}${namespaced}${kind.kind}`, "list", {
        parameters: listParameters,
        responses: this.answers(schemas.list, [200], true),
      });
    if (kind.verbs.includes("create"))
      item["post"] = this.operation("create", `create${name}${namespaced}${kind.kind}`, "post", {
        parameters: writeParameters,
        requestBody: body(schemas.object),
        responses: this.answers(schemas.object, [200, 201, 202]),
      });
    if (kind.verbs.includes("deletecollection"))
      item["delete"] = this.operation(
        "deletecollection",
        `delete${name}Collection${namespaced}${kind.kind}`,
        "deletecollection",
        {
          parameters: [...deleteParameters, ...selectionParameters].sort(byName),
          requestBody: { content: { "*/*": { schema: reference(`${meta}.DeleteOptions`) } } },
          responses: this.answers(`${meta}.Status`, [200]),
        },
      );
    return item;
  }

  object(): Json {
    const { kind, schemas } = this;
    return this.#verbs(kind.verbs, "", schemas.object);
  }

  subresource(name: string, subresource: Subresource): Json {
    const suffix = name.charAt(0).toUpperCase() + name.slice(1);
    const { speaks } = subresource;
    const schema = speaks === undefined ? this.schemas.object : (schemaNameOf(speaks) ?? this.schemas.object);
    const item = this.#verbs(subresource.verbs, suffix, schema, speaks);
    if (subresource.verbs.includes("create") && subresource.prepareUpdate === undefined)
      item["post"] = this.operation(
        "post",
        `create${this.name}${this.namespaced}${this.kind.kind}${suffix}`,
        "post",
        {
          parameters: writeParameters,
          requestBody: body(schema),
          responses: this.answers(schema, [200, 201, 202]),
          ...(speaks === undefined ? {} : { speaks }),
        },
      );
    return item;
  }

  #verbs(
    verbs: readonly string[],
    suffix: string,
    schema: string,
    speaks?: { group: string; version: string; kind: string },
  ): Json {
    const id = `${this.name}${this.namespaced}${this.kind.kind}${suffix}`;
    const more = speaks === undefined ? {} : { speaks };
    const item: Json = {};
    if (verbs.includes("get"))
      item["get"] = this.operation("get", `read${id}`, "get", {
        ...(this.custom ? { parameters: [query("resourceVersion", "string")] } : {}),
        responses: this.answers(schema, [200]),
        ...more,
      });
    if (verbs.includes("update"))
      item["put"] = this.operation("update", `replace${id}`, "put", {
        parameters: writeParameters,
        requestBody: body(schema),
        responses: this.answers(schema, [200, 201]),
        ...more,
      });
    if (verbs.includes("delete") && suffix === "")
      item["delete"] = this.operation("delete", `delete${id}`, "delete", {
        parameters: deleteParameters,
        requestBody: { content: { "*/*": { schema: reference(`${meta}.DeleteOptions`) } } },
        responses: this.answers(this.deletionAnswer(), [200, 202]),
        ...more,
      });
    if (verbs.includes("patch"))
      item["patch"] = this.operation("patch", `patch${id}`, "patch", {
        parameters: [...writeParameters, query("force", "boolean")],
        requestBody: {
          content: Object.fromEntries(
            this.patchTypes().map((type) => [type, { schema: reference(`${meta}.Patch`) }]),
          ),
          required: true,
        },
        responses: this.answers(schema, this.custom ? [200] : [200, 201]),
        ...more,
      });
    return item;
  }

  /** Kinds whose deletion answers the object: those that upstream registers so. */
  deletionAnswer(): string {
    return objectOnDeletion.has(`${this.kind.group}/${this.kind.plural}`)
      ? this.schemas.object
      : `${meta}.Status`;
  }

  patchTypes(): string[] {
    const types = [
      "application/apply-patch+yaml",
      "application/json-patch+json",
      "application/merge-patch+json",
    ];
    return this.custom ? types : [...types, "application/strategic-merge-patch+json"];
  }

  pathParameters(withName: boolean): Json[] {
    return [...placeParameters(withName, this.kind.namespaced), pretty].sort(byName);
  }

  operation(
    _verb: string,
    operationId: string,
    action: string,
    parts: {
      parameters?: readonly Json[];
      requestBody?: Json;
      responses: Json;
      speaks?: { group: string; version: string; kind: string };
    },
  ): Json {
    const { group, version, kind } = parts.speaks ?? this.kind;
    return {
      tags: [tagOf(this.kind.group, this.kind.version)],
      operationId,
      ...(parts.parameters === undefined ? {} : { parameters: parts.parameters }),
      ...(parts.requestBody === undefined ? {} : { requestBody: parts.requestBody }),
      responses: parts.responses,
      "x-kubernetes-action": action,
      "x-kubernetes-group-version-kind": { group, version, kind },
    };
  }

  answers(schema: string, codes: readonly number[], watchable = false): Json {
    const types = this.custom
      ? ["application/json", "application/yaml"]
      : [
          "application/json",
          ...(watchable ? ["application/json;stream=watch"] : []),
          "application/vnd.kubernetes.protobuf",
          ...(watchable ? ["application/vnd.kubernetes.protobuf;stream=watch"] : []),
          "application/yaml",
        ];
    const content = Object.fromEntries(types.map((type) => [type, { schema: reference(schema) }]));
    const answers: Json = {};
    for (const code of codes) answers[String(code)] = { description: answerTexts[code] ?? "", content };
    answers["401"] = { description: "Unauthorized" };
    return answers;
  }
}

const answerTexts: Readonly<Record<number, string>> = { 200: "OK", 201: "Created", 202: "Accepted" };

const objectOnDeletion = new Set([
  "/persistentvolumeclaims",
  "/persistentvolumes",
  "/pods",
  "/podtemplates",
  "/resourcequotas",
  "/serviceaccounts",
  "/services",
  "storage.k8s.io/csidrivers",
  "storage.k8s.io/csinodes",
  "storage.k8s.io/storageclasses",
  "storage.k8s.io/volumeattachments",
]);

/** Schemas of the kinds that only subresources speak. */
function schemaNameOf({
  group,
  version,
  kind,
}: {
  group: string;
  version: string;
  kind: string;
}): string | undefined {
  const packages: Readonly<Record<string, string>> = {
    "": "core",
    autoscaling: "autoscaling",
    policy: "policy",
    "authentication.k8s.io": "authentication",
  };
  const name = packages[group];
  return name === undefined ? undefined : `io.k8s.api.${name}.${version}.${kind}`;
}

function body(schema: string): Json {
  return { content: { "*/*": { schema: reference(schema) } }, required: true };
}

function query(name: string, type: string): Json {
  return { name, in: "query", schema: { type, uniqueItems: true } };
}

function placeParameters(withName: boolean, namespaced: boolean): Json[] {
  const place = (name: string) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string", uniqueItems: true },
  });
  return [...(withName ? [place("name")] : []), ...(namespaced ? [place("namespace")] : [])];
}

function byName(left: Json, right: Json): number {
  return String(left["name"]) < String(right["name"]) ? -1 : 1;
}

const pretty = query("pretty", "string");

const selectionParameters: readonly Json[] = [
  query("continue", "string"),
  query("fieldSelector", "string"),
  query("labelSelector", "string"),
  query("limit", "integer"),
  query("resourceVersion", "string"),
  query("resourceVersionMatch", "string"),
  query("sendInitialEvents", "boolean"),
  query("timeoutSeconds", "integer"),
];

const listParameters: readonly Json[] = [
  query("allowWatchBookmarks", "boolean"),
  ...selectionParameters,
  query("watch", "boolean"),
];

const writeParameters: readonly Json[] = [
  query("dryRun", "string"),
  query("fieldManager", "string"),
  query("fieldValidation", "string"),
];

const deleteParameters: readonly Json[] = [
  query("dryRun", "string"),
  query("gracePeriodSeconds", "integer"),
  query("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
  query("orphanDependents", "boolean"),
  query("propagationPolicy", "string"),
];
