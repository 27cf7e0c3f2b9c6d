/** POST serviceaccounts/token: a signed, bound, expiring token for a ServiceAccount (TokenRequest). */
import { invalid, invalidError } from "#kinds/field-error.ts";
import type { KubeObject } from "#kinds/object.ts";
import { findSchema } from "#kinds/schemas.ts";
import { timestamp } from "../api-core.ts";
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import { updateManagedFields } from "../apply/managed-fields.ts";
import type { BoundObject, ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import { placeOf } from "../rest/stored.ts";
import { managerOf, readWriteOptions } from "../rest/write-options.ts";
import { badRequest, conflictError, notFoundError } from "../status.ts";
import { decodeObject } from "../wire/body.ts";
import type { MethodHandlers } from "./special.ts";

const schemaName = "io.k8s.api.authentication.v1.TokenRequest";
const defaultSeconds = 3600;
const minSeconds = 600;
const maxSeconds = 2 ** 32;

interface TokenRequestSpec {
  audiences?: string[] | null;
  expirationSeconds?: number;
  boundObjectRef?: { kind?: string; apiVersion?: string; name?: string; uid?: string } | null;
}

export function tokenHandlers(tokens: ServiceAccountTokens): MethodHandlers {
  return {
    async POST(core, request) {
      const options = readWriteOptions("CreateOptions", request.http, request.query);
      const expected = { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest", schemaName };
      const object = decodeObject(request.http, expected, options.fieldValidation, request.warnings);
      const name = request.info.name;
      const account = await readObject(core, request, "serviceaccounts", name);
      if (object.metadata.name !== undefined && object.metadata.name !== name) {
        throw badRequest(
          `the name of the object (${object.metadata.name}) does not match the name on the URL (${name})`,
        );
      }
      const spec = (object["spec"] as TokenRequestSpec | undefined) ?? {};
      spec.expirationSeconds ??= defaultSeconds;
      checkExpiration(name, spec.expirationSeconds);
      const given = spec.audiences ?? [];
      if (given.length === 0) spec.audiences = [...tokens.defaultAudiences];
      object["spec"] = spec;
      object.metadata = { ...object.metadata, name, namespace: request.namespace };
      object.metadata.creationTimestamp = request.now;
      updateManagedFields({
        live: undefined,
        updated: object,
        manager: managerOf(options, request.http),
        subresource: "token",
        apiVersion: "authentication.k8s.io/v1",
        schema: findSchema(schemaName),
        now: request.now,
        resetFields: given.length === 0 ? ["status", "spec.audiences"] : ["status"],
      });
      const bound = await boundObject(core, request, spec, account);
      const { token, expiresMs } = await tokens.issue({
        namespace: request.namespace,
        serviceAccount: { name, uid: account.metadata.uid ?? "" },
        bound: bound?.object,
        node: bound?.node,
        audiences: spec.audiences ?? [],
        expirationSeconds: spec.expirationSeconds,
      });
      spec.boundObjectRef ??= null;
      object["status"] = { token: options.dryRun ? "" : token, expirationTimestamp: timestamp(expiresMs) };
      return { type: "object", status: 201, resource: undefined, object };
    },
  };
}

function checkExpiration(name: string, seconds: number): void {
  const problem =
    seconds < minSeconds
      ? "may not specify a duration less than 10 minutes"
      : seconds > maxSeconds
        ? "may not specify a duration larger than 2^32 seconds"
        : undefined;
  if (problem === undefined) return;
  throw invalidError({ group: "authentication.k8s.io", kind: "TokenRequest", name }, [
    invalid("spec.expirationSeconds", seconds, problem),
  ]);
}

async function readObject(
  core: ApiCore,
  request: ResourceRequest,
  plural: string,
  name: string,
): Promise<KubeObject> {
  const resource = core.registry.builtIn("", plural);
  const place = placeOf(resource, resource.namespaced ? request.namespace : "", name);
  const entry = core.store.cached(place) ?? (await core.store.readNewest(place));
  if (entry === undefined) throw notFoundError(place.groupResource, name);
  return entry.decode();
}

async function boundObject(
  core: ApiCore,
  request: ResourceRequest,
  spec: TokenRequestSpec,
  account: KubeObject,
): Promise<{ object: BoundObject; node: { name: string; uid: string } | undefined } | undefined> {
  const reference = spec.boundObjectRef;
  if (reference === undefined || reference === null) return undefined;
  const { kind, name = "" } = reference;
  if (kind !== "Pod" && kind !== "Secret" && kind !== "Node") {
    throw badRequest(
      `cannot bind token for serviceaccount to object type ${reference.apiVersion ?? ""}, Kind=${kind ?? ""}`,
    );
  }
  const plural = `${kind.toLowerCase()}s`;
  const object = await readObject(core, request, plural, name);
  const uid = object.metadata.uid ?? "";
  if (reference.uid !== undefined && reference.uid !== "" && reference.uid !== uid) {
    throw conflictError(
      { group: "", resource: plural },
      name,
      `the UID in the bound object reference (${reference.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  let node: { name: string; uid: string } | undefined;
  if (kind === "Pod") {
    const podSpec = object["spec"] as { serviceAccountName?: string; nodeName?: string };
    if (podSpec.serviceAccountName !== account.metadata.name) {
      throw badRequest(
        `cannot bind token for serviceaccount ${JSON.stringify(account.metadata.name)} to pod running with different serviceaccount name.`,
      );
    }
    if ((podSpec.nodeName ?? "") !== "") {
      const nodes = core.registry.builtIn("", "nodes");
      const entry = core.store.cached(placeOf(nodes, "", podSpec.nodeName ?? ""));
      if (entry !== undefined) node = { name: entry.name, uid: entry.decode().metadata.uid ?? "" };
    }
  }
  return { object: { kind, name, uid }, node };
}
