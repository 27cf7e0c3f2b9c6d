/**
 * ConversionReview, the conversation with a webhook that converts custom resources between versions:
 * the question, and what of an answer is accepted (apiextensions, conversion/webhook_converter.go).
 */
import { validateAnnotations, validateLabels } from "#kinds/metadata.ts";
import type { KubeObject } from "#kinds/object.ts";
import { cloneJson, isObject } from "#api/patch/json.ts";
import type { JsonObject } from "#api/patch/json.ts";

/** The review's versions that this server speaks. */
export const reviewVersions: readonly string[] = ["v1", "v1beta1"];

/** The first of the webhook's versions that is spoken here; undefined where none is. */
export function reviewVersion(preferred: readonly string[]): string | undefined {
  return preferred.find((each) => reviewVersions.includes(each));
}

export interface ReviewRequest {
  uid: string;
  desiredAPIVersion: string;
  objects: readonly KubeObject[];
}

export function conversionReview(version: string, request: ReviewRequest): Record<string, unknown> {
  return { kind: "ConversionReview", apiVersion: `apiextensions.k8s.io/${version}`, request };
}

/** An answer that is not what was asked for. The text goes on where "conversion webhook for X " ends. */
export class BadReview extends Error {
  override name = "BadReview";
}

/** The converted objects, in the order of the request's, with metadata that only the API may change restored. */
export function convertedObjects(answer: unknown, version: string, request: ReviewRequest): KubeObject[] {
  const objects = objectsOf(answer, version, request.uid);
  const expected = request.objects.length;
  if (objects.length !== expected)
    throw new BadReview(`returned ${objects.length} objects, expected ${expected}`);
  return request.objects.map((original, index) => {
    const converted: unknown = objects[index];
    const at = expected === 1 ? "" : ` in object at index ${index}`;
    checkConverted(original, converted, request.desiredAPIVersion, index);
    try {
      return restoreMetadata(original, converted as JsonObject);
    } catch (error) {
      throw new BadReview(`returned invalid metadata${at}: ${(error as Error).message}`, { cause: error });
    }
  });
}

function objectsOf(answer: unknown, version: string, uid: string): unknown[] {
  const failed = (text: string): never => {
    throw new BadReview(`failed: ${text}`);
  };
  const review = isObject(answer) ? answer : {};
  const wanted = `apiextensions.k8s.io/${version}`;
  if (review["kind"] !== "ConversionReview" || review["apiVersion"] !== wanted)
    failed(
      `expected webhook response of ${wanted}, Kind=ConversionReview, got ${text(review["apiVersion"])}, Kind=${text(review["kind"])}`,
    );
  const { response } = review;
  if (!isObject(response)) return failed("no response provided");
  if (response["uid"] !== uid && version === "v1")
    failed(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(text(response["uid"]))}`);
  const result = isObject(response["result"]) ? response["result"] : {};
  if (result["status"] !== "Success")
    failed(
      text(result["message"]) === ""
        ? `response.result.status was '${text(result["status"])}', not 'Success'`
        : text(result["message"]),
    );
  const objects = response["convertedObjects"];
  return Array.isArray(objects) ? objects : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function checkConverted(original: KubeObject, converted: unknown, version: string, index: number): void {
  const wrong = (what: string): never => {
    throw new BadReview(`returned invalid converted object at index ${index}: ${what}`);
  };
  if (!isObject(converted)) return wrong("it is no object");
  if (converted["apiVersion"] !== version)
    wrong(`invalid groupVersion (expected ${version}, received ${text(converted["apiVersion"])})`);
  if (converted["kind"] !== original.kind)
    wrong(`invalid kind (expected ${original.kind ?? ""}, received ${text(converted["kind"])})`);
  const metadata = isObject(converted["metadata"]) ? converted["metadata"] : undefined;
  if (metadata === undefined) return;
  const same: readonly (readonly ["name" | "namespace" | "uid", string])[] = [
    ["name", "name"],
    ["namespace", "namespace"],
    ["uid", "UID"],
  ];
  for (const [field, label] of same) {
    const before = original.metadata[field] ?? "";
    const after = text(metadata[field]);
    if (before !== after) wrong(`must have the same ${label}: ${before} != ${after}`);
  }
}

/** Everything in metadata stays as it was, but for labels and annotations. */
function restoreMetadata(original: KubeObject, converted: JsonObject): KubeObject {
  const given = converted["metadata"];
  if (given === undefined) throw new Error("missing metadata in converted object");
  if (!isObject(given)) throw new Error("invalid metadata of type string in converted object");
  const metadata = cloneJson(original.metadata);
  for (const field of ["labels", "annotations"] as const) {
    const values = given[field];
    if (values === undefined || values === null) {
      delete metadata[field];
      continue;
    }
    if (!isObject(values)) throw new Error(`invalid metadata.${field} of type string in converted object`);
    for (const key of Object.keys(values))
      if (typeof values[key] !== "string")
        throw new Error(
          `metadata.${field}[${key}] must be a string, but is ${typeof values[key]} in converted object`,
        );
    const strings = values as Record<string, string>;
    const errors =
      field === "labels"
        ? validateLabels(strings, "metadata.labels")
        : validateAnnotations(strings, "metadata.annotations");
    const [first] = errors;
    if (first !== undefined) throw new Error(`${first.field}: ${first.message}`);
    metadata[field] = strings;
  }
  return { ...converted, metadata } as unknown as KubeObject;
}
