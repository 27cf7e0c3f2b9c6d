/**
 * The contract of a controller. A controller is data and one generator function: it says which changes
 * concern which of its keys, and `plan` decides what to do about a key, one action at a time. Whoever
 * runs a plan carries each action out and gives the answer back; a refused action is thrown into the
 * plan, and a plan that ends in an error is tried again later. Plans see the results of their own
 * actions in the view at once. They do no IO, read no clock and draw no random numbers.
 */
import type { KubeObject } from "#kinds/object.ts";
import type { Resource } from "./kubernetes.ts";

/** Read-only, current copies of objects. What it returns is shared: never change it. */
export interface View {
  get<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string | undefined,
    name: string,
  ): T | undefined;
  list<T extends KubeObject>(resource: Resource<T>, namespace?: string): T[];
  /** The tokens of all resources that the view holds; grows and shrinks with custom resources. */
  resources(): readonly Resource[];
  /** By an index of `viewIndexes`. */
  byIndex<T extends KubeObject>(resource: Resource<T>, index: string, value: string): T[];
}

export type Action =
  | { type: "get"; resource: Resource; namespace: string | undefined; name: string; subresource?: string }
  | { type: "list"; resource: Resource; namespace: string | undefined; labelSelector?: string }
  /** What is served at a path that no resource has. Answered with the document. */
  | { type: "getPath"; path: string; query: Readonly<Record<string, string>> }
  | { type: "create"; resource: Resource; object: KubeObject }
  /** Refused with Conflict unless the object's resourceVersion is the newest. */
  | { type: "update"; resource: Resource; object: KubeObject; subresource?: string }
  | {
      type: "patch";
      resource: Resource;
      namespace: string | undefined;
      name: string;
      patchType: "merge" | "strategic" | "json" | "apply";
      patch: unknown;
      subresource?: string;
    }
  | {
      type: "delete";
      resource: Resource;
      object: KubeObject;
      propagation?: "Orphan" | "Background" | "Foreground";
      gracePeriodSeconds?: number;
      /** Only the object with this very version. The uid is always a precondition. */
      resourceVersion?: string;
    }
  | { type: "deleteCollection"; resource: Resource; namespace: string }
  | {
      type: "post";
      resource: Resource;
      namespace: string | undefined;
      name: string;
      subresource: string;
      body: KubeObject;
    }
  /** What a PKCS #10 request (PEM) asks for: answered with a `CertificateSubject`. */
  | { type: "readCertificateRequest"; pem: string }
  /** A certificate of the cluster's authority for the request, with its subject: answered in PEM. */
  | { type: "signCertificate"; pem: string; usages: readonly string[]; validSeconds: number }
  /** SHA-256 of a text, or its HMAC when there is a key: answered as text. */
  | { type: "digest"; text: string; key?: string; encoding: "hex" | "base64url" }
  /** What is wrong with the types of a ValidatingAdmissionPolicy's expressions: answered with `ExpressionWarning[]`. */
  | { type: "checkPolicyTypes"; policy: KubeObject }
  /** All resources that the API serves now, custom ones too. */
  | { type: "discover" }
  | { type: "event"; object: KubeObject; eventType: "Normal" | "Warning"; reason: string; message: string }
  | { type: "requeueAfter"; delayMs: number };

/** An entry of ValidatingAdmissionPolicy's `status.typeChecking.expressionWarnings`. */
export interface ExpressionWarning {
  fieldRef: string;
  warning: string;
}

/** Who a certificate is asked for. */
export interface CertificateSubject {
  commonName: string;
  organizations: readonly string[];
  dnsNames: readonly string[];
  ipAddresses: readonly string[];
  emailAddresses: readonly string[];
  uris: readonly string[];
}

export type Plan<R = void> = Generator<Action, R, unknown>;

export interface DiscoveredResource extends Resource {
  verbs: readonly string[];
}

export interface Trigger<T extends KubeObject = KubeObject> {
  resource: Resource<T>;
  /** Keys that a state of an object concerns. Called for the state before and the state after a change. */
  keys(object: T, view: View): Iterable<string>;
  /** Only changes for which this holds matter. `object` is undefined for a deletion, `old` for an addition. */
  when?(object: T | undefined, old: T | undefined): boolean;
}

export interface Controller {
  /** Upstream's name of the controller; also the component of its events. */
  name: string;
  triggers: readonly Trigger[];
  /** Resources that `plan` reads besides those of its triggers. */
  reads?: readonly Resource[];
  /** Resources that `plan` writes. */
  writes: readonly Resource[];
  /**
   * Concerned with every resource that can be listed and deleted, custom ones too: such a trigger comes
   * with the resource of the changed object. The view then holds at least metadata of all of them.
   */
  everything?: {
    keys(
      resource: Resource,
      object: KubeObject | undefined,
      old: KubeObject | undefined,
      view: View,
    ): Iterable<string>;
  };
  /** How many keys may be planned at a time. Default 1. */
  concurrency?: number;
  /**
   * A key is planned at most once in this time, milliseconds: for plans that look at many objects, of which
   * hundreds may change at once. Default 0.
   */
  restMs?: number;
  plan(view: View, key: string, nowMs: number): Plan;
}

/** Forgets a trigger's object type, so that a controller can list triggers of several kinds. */
export function on<T extends KubeObject>(
  resource: Resource<T>,
  keys: (object: T, view: View) => Iterable<string>,
  when?: (object: T | undefined, old: T | undefined) => boolean,
): Trigger {
  return { resource, keys, ...(when === undefined ? {} : { when }) } as unknown as Trigger;
}

export function keyOf(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined || namespace === "" ? (name ?? "") : `${namespace}/${name ?? ""}`;
}

export function splitKey(key: string): { namespace: string; name: string } {
  const slash = key.indexOf("/");
  return slash < 0
    ? { namespace: "", name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

export function self(object: KubeObject): string[] {
  return [keyOf(object)];
}

export function* get<T extends KubeObject>(
  resource: Resource<T>,
  namespace: string | undefined,
  name: string,
): Plan<T> {
  return (yield { type: "get", resource, namespace, name }) as T;
}

export function* list<T extends KubeObject>(
  resource: Resource<T>,
  namespace: string | undefined,
  labelSelector?: string,
): Plan<T[]> {
  return (yield {
    type: "list",
    resource,
    namespace,
    ...(labelSelector === undefined ? {} : { labelSelector }),
  }) as T[];
}

export function* create<T extends KubeObject>(resource: Resource<T>, object: Unsaved<T>): Plan<T> {
  return (yield { type: "create", resource, object: object as KubeObject }) as T;
}

export function* update<T extends KubeObject>(resource: Resource<T>, object: T): Plan<T> {
  return (yield { type: "update", resource, object }) as T;
}

export function* updateStatus<T extends KubeObject>(resource: Resource<T>, object: T): Plan<T> {
  return (yield { type: "update", resource, object, subresource: "status" }) as T;
}

export function* patch<T extends KubeObject>(
  resource: Resource<T>,
  object: KubeObject,
  patchType: "merge" | "strategic" | "json",
  body: unknown,
  subresource?: string,
): Plan<T> {
  return (yield {
    type: "patch",
    resource,
    namespace: object.metadata.namespace,
    name: object.metadata.name ?? "",
    patchType,
    patch: body,
    ...(subresource === undefined ? {} : { subresource }),
  }) as T;
}

export function* remove(
  resource: Resource,
  object: KubeObject,
  options: {
    propagation?: "Orphan" | "Background" | "Foreground";
    gracePeriodSeconds?: number;
    resourceVersion?: string;
  } = {},
): Plan {
  yield { type: "delete", resource, object, ...options };
}

export function* record(
  object: KubeObject,
  eventType: "Normal" | "Warning",
  reason: string,
  message: string,
): Plan {
  yield { type: "event", object, eventType, reason, message };
}

export function* digest(text: string, encoding: "hex" | "base64url", key?: string): Plan<string> {
  return (yield { type: "digest", text, encoding, ...(key === undefined ? {} : { key }) }) as string;
}

export function* requeueAfter(delayMs: number): Plan {
  yield { type: "requeueAfter", delayMs: Math.max(delayMs, 1) };
}

/** A new object: the server fills in the status and the rest of the metadata. */
export type Unsaved<T> = Omit<T, "status" | "metadata"> & { metadata: KubeObject["metadata"] };
