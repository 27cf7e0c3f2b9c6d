/** OpenAPI v2 (Swagger) from the v3 documents, for clients that know no other. */

type Json = Record<string, unknown>;

interface V3Document {
  paths?: Record<string, Json>;
  components?: { schemas?: Record<string, Json> };
}

export function toOpenApiV2(documents: readonly Json[], info: Json): Json {
  const paths: Json = {};
  const definitions: Json = {};
  for (const document of documents as readonly V3Document[]) {
    for (const [path, item] of Object.entries(document.paths ?? {})) paths[path] = pathItem(item);
    for (const [name, schema] of Object.entries(document.components?.schemas ?? {}))
      definitions[name] ??= schemaV2(schema);
  }
  return {
    swagger: "2.0",
    info,
    paths: sorted(paths),
    definitions: sorted(definitions),
    securityDefinitions: { BearerToken: { type: "apiKey", name: "authorization", in: "header" } },
    security: [{ BearerToken: [] }],
  };
}

function sorted(value: Json): Json {
  return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)));
}

const methods = new Set(["get", "put", "post", "delete", "options", "head", "patch"]);

function pathItem(item: Json): Json {
  const result: Json = {};
  for (const [key, value] of Object.entries(item)) {
    if (key === "parameters") result[key] = (value as Json[]).map(parameter);
    else if (methods.has(key)) result[key] = operation(value as Json);
  }
  return result;
}

function parameter(each: Json): Json {
  const { schema, ...rest } = each;
  return { ...rest, ...(schema as Json) };
}

interface Content {
  content?: Record<string, { schema: Json }>;
}

function operation(value: Json): Json {
  const { requestBody, parameters, responses, ...rest } = value;
  const body = requestBody as (Content & { required?: boolean }) | undefined;
  const consumed = Object.keys(body?.content ?? { "*/*": {} });
  const bodySchema = Object.values(body?.content ?? {})[0]?.schema;
  const all = [
    ...((parameters as Json[] | undefined) ?? []).map(parameter),
    ...(bodySchema === undefined
      ? []
      : [
          {
            name: "body",
            in: "body",
            ...(body?.required === true ? { required: true } : {}),
            schema: schemaV2(bodySchema),
          },
        ]),
  ];
  const produced = new Set<string>();
  const answers: Json = {};
  for (const [code, answer] of Object.entries(
    responses as Record<string, Content & { description?: string }>,
  )) {
    for (const type of Object.keys(answer.content ?? {})) produced.add(type);
    const schema = Object.values(answer.content ?? {})[0]?.schema;
    answers[code] = {
      description: answer.description ?? "",
      ...(schema === undefined ? {} : { schema: schemaV2(schema) }),
    };
  }
  return {
    consumes: consumed,
    produces: [...produced],
    schemes: ["https"],
    ...rest,
    ...(all.length === 0 ? {} : { parameters: all }),
    responses: answers,
  };
}

/** v2 has no oneOf and no nullable; a reference stands alone. */
function schemaV2(schema: Json): Json {
  const { allOf, oneOf, anyOf: _anyOf, not: _not, nullable: _nullable, $ref, ...rest } = schema;
  const [only] = (allOf as Json[] | undefined) ?? [];
  const target = $ref ?? only?.["$ref"];
  if (typeof target === "string") return { $ref: target.replace("#/components/schemas/", "#/definitions/") };
  const result: Json = { ...rest };
  const { properties, items, additionalProperties } = rest as Record<string, Json | undefined>;
  if (properties !== undefined)
    result["properties"] = Object.fromEntries(
      Object.entries(properties).map(([name, property]) => [name, schemaV2(property as Json)]),
    );
  if (items !== undefined) result["items"] = schemaV2(items);
  if (typeof additionalProperties === "object")
    result["additionalProperties"] = schemaV2(additionalProperties);
  if (oneOf !== undefined && rest["type"] === undefined) result["type"] = "string";
  return result;
}
