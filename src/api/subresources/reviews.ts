/**
 * Reviews: questions that are answered and not stored. Who am I, may somebody do something, what may I
 * do, whose token is this.
 */
import type { HttpUser } from "#base/http.ts";
import { invalid, invalidError } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import type { KubeObject, ObjectMeta } from "#kinds/object.ts";
import { findSchema } from "#kinds/schemas.ts";
import type { ApiCore, ResourceRequest } from "../api-core.ts";
import { updateManagedFields } from "../apply/managed-fields.ts";
import type { Authenticator } from "../auth/authenticate.ts";
import type { Attributes } from "../auth/authorizer.ts";
import type { PolicyRule, RbacAuthorizer } from "../auth/rbac.ts";
import type { ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import type { Answer } from "../rest/answer.ts";
import { expectedKind } from "../rest/write.ts";
import { managerOf, readWriteOptions } from "../rest/write-options.ts";
import { badRequest } from "../status.ts";
import { decodeObject } from "../wire/body.ts";
import type { MethodHandlers, SpecialHandler } from "./special.ts";

interface ResourceAttributes {
  namespace?: string;
  verb?: string;
  group?: string;
  version?: string;
  resource?: string;
  subresource?: string;
  name?: string;
  fieldSelector?: SelectorAttributes;
  labelSelector?: SelectorAttributes;
}

interface SelectorAttributes {
  rawSelector?: string;
  requirements?: unknown[];
}

interface ReviewSpec {
  resourceAttributes?: ResourceAttributes;
  nonResourceAttributes?: { path?: string; verb?: string };
  user?: string;
  groups?: string[];
  uid?: string;
  extra?: Record<string, string[]>;
}

export function reviewHandlers(options: {
  rbac: RbacAuthorizer;
  authenticator: Authenticator;
  tokens: ServiceAccountTokens;
}): Readonly<Record<string, MethodHandlers>> {
  const authorization = "authorization.k8s.io/";
  const authentication = "authentication.k8s.io/";
  return {
    [`selfsubjectaccessreviews.${authorization}`]: { POST: accessReview("self") },
    [`subjectaccessreviews.${authorization}`]: { POST: accessReview("subject") },
    [`localsubjectaccessreviews.${authorization}`]: { POST: accessReview("local") },
    [`selfsubjectrulesreviews.${authorization}`]: { POST: rulesReview(options.rbac) },
    [`selfsubjectreviews.${authentication}`]: { POST: selfReview },
    [`tokenreviews.${authentication}`]: { POST: tokenReview(options.authenticator, options.tokens) },
  };
}

/** Decodes the question and records who asked, as upstream does even for what it does not store. */
function readReview(request: ResourceRequest): KubeObject {
  const options = readWriteOptions("CreateOptions", request.http, request.query);
  const object = decodeObject(
    request.http,
    expectedKind(request.resource),
    options.fieldValidation,
    request.warnings,
  );
  if (request.namespace !== "") object.metadata.namespace = request.namespace;
  object.metadata.creationTimestamp = null;
  updateManagedFields({
    live: undefined,
    updated: object,
    manager: managerOf(options, request.http),
    apiVersion: request.resource.groupVersion,
    schema: findSchema(request.resource.kind.schemaName),
    now: request.now,
    resetFields: ["status"],
  });
  return object;
}

function answer(object: KubeObject): Answer {
  return { type: "object", status: 201, resource: undefined, object };
}

function accessReview(form: "self" | "subject" | "local"): SpecialHandler {
  return async (core, request) => {
    const object = readReview(request);
    const spec = (object["spec"] as ReviewSpec | undefined) ?? {};
    checkReview(form, spec, object);
    const user: HttpUser =
      form === "self"
        ? request.user
        : {
            name: spec.user ?? "",
            groups: spec.groups ?? [],
            ...(spec.uid === undefined ? {} : { uid: spec.uid }),
            ...(spec.extra === undefined ? {} : { extra: spec.extra }),
          };
    const decision = core.authorizer.authorize(attributesOfReview(user, spec));
    object["status"] = {
      allowed: decision.allowed,
      ...(decision.denied === true ? { denied: true } : {}),
      ...(decision.reason === "" ? {} : { reason: decision.reason }),
    };
    return answer(object);
  };
}

function attributesOfReview(user: HttpUser, spec: ReviewSpec): Attributes {
  const resource = spec.resourceAttributes;
  const path = spec.nonResourceAttributes;
  return {
    user,
    verb: resource?.verb ?? path?.verb ?? "",
    isResource: resource !== undefined,
    group: resource?.group ?? "",
    version: resource?.version ?? "",
    resource: resource?.resource ?? "",
    subresource: resource?.subresource ?? "",
    namespace: resource?.namespace ?? "",
    name: resource?.name ?? "",
    path: path?.path ?? "",
  };
}

/** A review is a question, not an object: it has no name, labels or anything else of its own. */
function metadataErrors(form: "self" | "subject" | "local", metadata: ObjectMeta): FieldError[] {
  const own = Object.entries(metadata)
    .filter(([name]) => name !== "creationTimestamp" && name !== "managedFields")
    .filter(([name]) => form !== "local" || name !== "namespace")
    .filter(([, value]) => value !== undefined && value !== "");
  if (own.length === 0) return [];
  return [invalid("metadata", Object.fromEntries(own), "must be empty")];
}

function checkReview(form: "self" | "subject" | "local", spec: ReviewSpec, object: KubeObject): void {
  const errors = metadataErrors(form, object.metadata);
  const { resourceAttributes, nonResourceAttributes } = spec;
  if (resourceAttributes !== undefined && nonResourceAttributes !== undefined) {
    errors.push({
      reason: "FieldValueInvalid",
      field: "spec.nonResourceAttributes",
      message: `Invalid value: ${goNonResource(nonResourceAttributes)}: cannot be specified in combination with resourceAttributes`,
    });
  }
  if (resourceAttributes === undefined && nonResourceAttributes === undefined) {
    errors.push({
      reason: "FieldValueInvalid",
      field: "spec.resourceAttributes",
      message:
        'Invalid value: "null": exactly one of nonResourceAttributes or resourceAttributes must be specified',
    });
  }
  for (const name of ["fieldSelector", "labelSelector"] as const) {
    const { rawSelector = "", requirements = [] } = resourceAttributes?.[name] ?? {};
    if (rawSelector === "" || requirements.length === 0) continue;
    const field = `spec.resourceAttributes.${name}.rawSelector`;
    errors.push(invalid(field, rawSelector, "may not specified at the same time as requirements"));
  }
  if (form !== "self" && (spec.user ?? "") === "" && (spec.groups ?? []).length === 0) {
    errors.push(invalid("spec.user", "", "at least one of user or group must be specified"));
  }
  if (form === "local") {
    const namespace = resourceAttributes?.namespace ?? "";
    if (resourceAttributes !== undefined && namespace !== object.metadata.namespace) {
      errors.push(invalid("spec.resourceAttributes.namespace", namespace, "must match metadata.namespace"));
    }
    if (nonResourceAttributes !== undefined) {
      errors.push({
        reason: "FieldValueInvalid",
        field: "spec.nonResourceAttributes",
        message: `Invalid value: ${goNonResource(nonResourceAttributes)}: disallowed on this kind of request`,
      });
    }
  }
  if (errors.length === 0) return;
  // Upstream's refusal of a review names the group and no kind.
  const error = invalidError({ group: "authorization.k8s.io", kind: "", name: "" }, errors);
  if (error.details !== undefined) delete error.details.kind;
  throw error;
}

function goNonResource(attributes: { path?: string; verb?: string }): string {
  return `authorization.NonResourceAttributes{Path:${JSON.stringify(attributes.path ?? "")}, Verb:${JSON.stringify(attributes.verb ?? "")}}`;
}

const isMaster = (user: HttpUser): boolean => user.groups.includes("system:masters");

function rulesReview(rbac: RbacAuthorizer): SpecialHandler {
  return async (_core: ApiCore, request) => {
    const object = readReview(request);
    const namespace = (object["spec"] as { namespace?: string } | undefined)?.namespace ?? "";
    if (namespace === "") throw badRequest("no namespace on request");
    const { rules, errors } = rbac.rulesOf(request.user, namespace);
    const everything: PolicyRule[] = isMaster(request.user)
      ? [
          { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
          { verbs: ["*"], nonResourceURLs: ["*"] },
        ]
      : [];
    const all = [...everything, ...rules];
    return answer({
      kind: "SelfSubjectRulesReview",
      apiVersion: "authorization.k8s.io/v1",
      metadata: { creationTimestamp: null },
      spec: {},
      status: {
        resourceRules: all
          .filter((each) => (each.resources ?? []).length > 0)
          .map(({ verbs, apiGroups, resources, resourceNames }) => ({
            verbs,
            apiGroups,
            resources,
            ...(resourceNames === undefined ? {} : { resourceNames }),
          })),
        nonResourceRules: all
          .filter((each) => (each.nonResourceURLs ?? []).length > 0)
          .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
        incomplete: errors.length > 0,
        ...(errors.length === 0 ? {} : { evaluationError: errors.join(", ") }),
      },
    });
  };
}

function userInfo(user: HttpUser): Record<string, unknown> {
  return {
    username: user.name,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: user.groups,
    ...(user.extra === undefined || Object.keys(user.extra).length === 0 ? {} : { extra: user.extra }),
  };
}

async function selfReview(_core: ApiCore, request: ResourceRequest): Promise<Answer> {
  readReview(request);
  return answer({
    kind: "SelfSubjectReview",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { creationTimestamp: request.now },
    status: { userInfo: userInfo(request.user) },
  });
}

function tokenReview(authenticator: Authenticator, tokens: ServiceAccountTokens): SpecialHandler {
  return async (_core, request) => {
    const object = readReview(request);
    const spec = (object["spec"] as { token?: string; audiences?: string[] } | undefined) ?? {};
    if ((spec.token ?? "") === "") throw badRequest("token is required for TokenReview in authentication");
    const token = spec.token ?? "";
    const wanted = spec.audiences ?? [];
    const account = await tokens.authenticate(token, wanted.length === 0 ? tokens.defaultAudiences : wanted);
    const user = account?.user ?? (wanted.length === 0 ? await authenticator.userOfToken(token) : undefined);
    object["status"] =
      user === undefined
        ? { user: {}, error: "[invalid bearer token, token lookup failed]" }
        : {
            authenticated: true,
            user: userInfo(user),
            audiences: account?.audiences ?? [...tokens.defaultAudiences],
          };
    return answer(object);
  };
}
