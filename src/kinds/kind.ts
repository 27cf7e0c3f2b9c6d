/**
 * The contract of a kind: everything Trivet knows about one Kubernetes resource, as one literal.
 * Discovery, OpenAPI, tables, storage, the command line and the dashboard read these; no other room
 * has a list of kinds. The registry is `#kinds/all.ts`.
 *
 * The strategy functions follow upstream's order (k8s.io/apiserver, pkg/registry/rest):
 * create: applyDefaults, dropDisabledFields, prepareCreate, validate, warnings, canonicalize;
 * update: applyDefaults, dropDisabledFields, prepareUpdate, validateUpdate, warnings, canonicalize.
 * They may change the object that they are given (it is the server's own copy) and never `old`.
 */
import type { FieldError } from "./field-error.ts";
import type { KubeObject } from "./object.ts";

/** Verbs of discovery, in its order. */
export type Verb = "create" | "delete" | "deletecollection" | "get" | "list" | "patch" | "update" | "watch";

/** What a strategy may know of the world. */
export interface StrategyContext {
  /** A UUID that nothing has yet: for kinds that name themselves. */
  newUid(): string;
  /** RFC 3339, seconds exact, UTC. */
  now: string;
  user: {
    name: string;
    groups: readonly string[];
    uid?: string | undefined;
    extra?: Readonly<Record<string, readonly string[]>> | undefined;
  };
  /** Tells the client something while the object is prepared, even if it is refused afterwards. */
  warn(text: string): void;
  /** The namespace of the request; undefined for cluster-scoped kinds. */
  namespace: string | undefined;
}

export interface Column<T extends KubeObject = KubeObject> {
  name: string;
  type: "string" | "integer" | "number" | "boolean" | "date";
  format?: string;
  description: string;
  /** 0: always shown; 1: only by `-o wide`. */
  priority: number;
  /** The cell's JSON value. A date is shown as an age ("5m"), which is computed from nowMs. */
  cell(object: T, nowMs: number): unknown;
}

/** A subresource that is served from the same stored object (status, scale, approval, resize, …). */
export interface Subresource<T extends KubeObject = KubeObject> {
  /** The kind that this subresource speaks, where it isn't the resource's own (for example autoscaling/v1 Scale). */
  speaks?: { group: string; version: string; kind: string };
  verbs: readonly Verb[];
  /**
   * Merges a written object into the stored one: keeps from `old` whatever this subresource must not
   * change. Absent: not an object update (log, exec, binding, eviction, token: the API serves these itself).
   */
  prepareUpdate?(object: T, old: T, context: StrategyContext): void;
  validateUpdate?(object: T, old: T): FieldError[];
}

export interface ScaleDescription {
  specReplicasPath: string;
  statusReplicasPath: string;
  /** Path of the selector: a LabelSelector object, a plain map, or a string. */
  labelSelectorPath: string;
}

export interface KindDefinition<T extends KubeObject = KubeObject> {
  group: string;
  version: string;
  kind: string;
  plural: string;
  singular: string;
  shortNames?: readonly string[];
  categories?: readonly string[];
  namespaced: boolean;
  /** Name of the definition in the schema data, for example "io.k8s.api.apps.v1.Deployment". */
  schemaName: string;
  verbs: readonly Verb[];
  /** For kinds that are answered, not stored (SelfSubjectAccessReview, TokenReview, …). Default true. */
  stored?: boolean;
  /** Kinds whose PUT to a missing name creates (leases, endpoints, …: upstream's AllowCreateOnUpdate). */
  createOnUpdate?: boolean;
  /** PUT without resourceVersion is allowed. Default true. */
  unconditionalUpdate?: boolean;
  /**
   * Upstream validates the metadata of an update in general and, for most kinds, in the kind's strategy
   * once more, so that clients are told each of its errors twice. True for the kinds that do not.
   */
  metadataErrorsOnce?: boolean;
  /** Finalizers need not be qualified by a domain. */
  looseFinalizers?: boolean;
  /** What every client of the kind is warned of. */
  deprecations?: readonly string[];
  /** The name is checked with this: returns error details, empty when valid. Default: DNS subdomain. */
  validateName?(name: string, isPrefix: boolean): string[];
  /** Default finalizers, grace periods and the like on deletion. */
  deletion?: {
    /** Propagation when the client does not say. Default "background". */
    defaultPropagation?: "orphan" | "background";
    /** Grace period for an object whose deletion is graceful (pods); undefined: delete at once. */
    gracePeriodSeconds?(object: T): number | undefined;
    /** Changes the object when its deletion is first asked for: adds finalizers, conditions. `now` as in StrategyContext. */
    prepareDelete?(object: T, now: string): void;
  };
  applyDefaults?(object: T): void;
  /** Leaves out what upstream's feature gates switch off. After field ownership is noted, before the strategy. */
  dropDisabledFields?(object: T): void;
  prepareCreate?(object: T, context: StrategyContext): void;
  prepareUpdate?(object: T, old: T, context: StrategyContext): void;
  validate?(object: T): FieldError[];
  validateUpdate?(object: T, old: T): FieldError[];
  warnings?(object: T, old: T | undefined): string[];
  canonicalize?(object: T): void;
  subresources?: Readonly<Record<string, Subresource<T>>>;
  scale?: ScaleDescription;
  /** Fields that `fieldSelector` knows, besides metadata.name and metadata.namespace. */
  fieldSelectors?: Readonly<Record<string, (object: T) => string>>;
  columns: readonly Column<T>[];
  /**
   * Annotations that only this version of the kind has: they stand for fields of the stored form, and so
   * are not part of what is shown as metadata alone.
   */
  versionAnnotations?: readonly string[];
  /** Field paths, dotted, that a writer of the main resource never owns (for managedFields). Usually ["status"]. */
  resetFields?: readonly string[];
}

/** Any kind, its object type forgotten: what the registry holds. */
// oxlint-disable-next-line typescript/no-explicit-any -- methods of a kind take its own object type
export type AnyKind = KindDefinition<any>;

/** Checks nothing at run time; gives the literal its type. */
export function defineKind<T extends KubeObject>(definition: KindDefinition<T>): AnyKind {
  return definition;
}
