/**
 * Objects in the store with optimistic concurrency: create, consistent and cached reads, and
 * upstream's guaranteed update (try with what the cache has, and again with the newest when that was
 * stale). It knows keys, bytes and revisions, not what the objects mean.
 */
import { StatusError } from "#base/errors.ts";
import type { Backend, Compare, Operation } from "#base/backend.ts";
import type { KubeObject } from "#kinds/object.ts";
import { deepEqual } from "#kinds/equality.ts";
import { Entry } from "../cache/entry.ts";
import type { WatchHub } from "../cache/watch-hub.ts";
import { objectKey } from "../registry.ts";
import type { StoredResource } from "../registry.ts";
import { alreadyExistsError, conflictError, modifiedMessage, notFoundError } from "../status.ts";
import type { GroupResource } from "../status.ts";

export interface ObjectPlace {
  stored: StoredResource;
  groupResource: GroupResource;
  namespace: string;
  name: string;
}

/** What is written with an object in the same transaction, and must hold for it. */
export interface Companions {
  compare: Compare[];
  operations: Operation[];
}

export interface WriteControl {
  /** Refuse unless this raft term still leads. */
  fenceTerm?: number | undefined;
  dryRun?: boolean;
}

export interface UpdateDecision {
  type: "put" | "delete";
  object: KubeObject;
  companions?: Companions | undefined;
}

/** The state that a try-update function gets. `object` is its own copy. */
export interface CurrentState {
  object: KubeObject;
  revision: number;
  entry: Entry;
}

const maxAttempts = 32;

/** Something that was to be reserved with a new object has just been taken: choose again. */
export class ReservationTaken extends Error {
  override name = "ReservationTaken";
}

export class ObjectStore {
  readonly #backend: Backend;
  readonly #hub: WatchHub;

  constructor(backend: Backend, hub: WatchHub) {
    this.#backend = backend;
    this.#hub = hub;
  }

  /** The newest state, consistent with every acknowledged write. */
  async readNewest(place: ObjectPlace): Promise<Entry | undefined> {
    await this.#hub.waitForNewest();
    return this.cached(place);
  }

  cached(place: ObjectPlace): Entry | undefined {
    return place.stored.cache.get(objectKey(place.stored, place.namespace, place.name));
  }

  /** Stores a new object. Answers AlreadyExists when there is one. */
  async create(
    place: ObjectPlace,
    object: KubeObject,
    control: WriteControl & { companions?: Companions | undefined },
  ): Promise<Entry> {
    const key = objectKey(place.stored, place.namespace, place.name);
    const value = place.stored.codec.withVersion(object.apiVersion).encode(object);
    if (control.dryRun === true) {
      const existing = await this.readNewest(place);
      if (existing !== undefined) throw taken(place, existing);
      return this.#entryOf(place, key, value, Number(object.metadata.resourceVersion ?? 0));
    }
    const result = await this.#backend.transact({
      compare: [{ key, operator: "=", target: "create", number: 0 }, ...(control.companions?.compare ?? [])],
      success: [{ type: "put", key, value }, ...(control.companions?.operations ?? [])],
      failure: [],
      ...(control.fenceTerm === undefined ? {} : { fenceTerm: control.fenceTerm }),
    });
    if (!result.succeeded) {
      const existing = await this.readNewest(place);
      if (control.companions === undefined || existing !== undefined) throw taken(place, existing);
      throw new ReservationTaken();
    }
    return this.#entryOf(place, key, value, result.revision);
  }

  /**
   * Changes an object: `decide` gets the current state (undefined when there is none and `mayCreate`)
   * and returns what to do. It is called again when somebody else was faster, and once more with the
   * newest state when it has thrown over a stale one. A put that changes nothing is not written.
   */
  async update(
    place: ObjectPlace,
    control: WriteControl & { mayCreate?: boolean },
    decide: (current: CurrentState | undefined) => Promise<UpdateDecision> | UpdateDecision,
  ): Promise<{ entry: Entry; deleted: boolean; created: boolean; revision: number }> {
    const key = objectKey(place.stored, place.namespace, place.name);
    let current = place.stored.cache.get(key);
    let isFresh = false;
    if (current === undefined) {
      current = await this.readNewest(place);
      isFresh = true;
    }
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (current === undefined && control.mayCreate !== true) {
        throw notFoundError(place.groupResource, place.name);
      }
      let decision: UpdateDecision;
      try {
        decision = await decide(
          current === undefined
            ? undefined
            : { object: current.decode(), revision: current.revision, entry: current },
        );
      } catch (error) {
        if (isFresh) throw error;
        const newest = await this.readNewest(place);
        isFresh = true;
        if (newest?.revision === current?.revision) throw error;
        current = newest;
        continue;
      }
      const written = await this.#write(place, key, current, decision, control, isFresh);
      if (written !== undefined) return { ...written, created: current === undefined };
      current = await this.readNewest(place);
      isFresh = true;
    }
    throw conflictError(place.groupResource, place.name, modifiedMessage);
  }

  /** Undefined when the state had changed meanwhile. */
  async #write(
    place: ObjectPlace,
    key: string,
    current: Entry | undefined,
    decision: UpdateDecision,
    control: WriteControl,
    isFresh: boolean,
  ): Promise<{ entry: Entry; deleted: boolean; revision: number } | undefined> {
    const revision = current?.revision ?? 0;
    const codec = place.stored.codec.withVersion(decision.object.apiVersion);
    const value = codec.encode(decision.object);
    if (
      decision.type === "put" &&
      current !== undefined &&
      (current.codec !== codec || current.mayBe(value)) &&
      sameObject(current, decision.object)
    ) {
      if (isFresh || control.dryRun === true) return { entry: current, deleted: false, revision };
      const newest = await this.readNewest(place);
      return newest?.revision === revision ? { entry: current, deleted: false, revision } : undefined;
    }
    if (control.dryRun === true) {
      return {
        entry: this.#entryOf(place, key, value, revision),
        deleted: decision.type === "delete",
        revision,
      };
    }
    const operation: Operation =
      decision.type === "put" ? { type: "put", key, value } : { type: "delete", key };
    const result = await this.#backend.transact({
      compare: [
        { key, operator: "=", target: "mod", number: revision },
        ...(decision.companions?.compare ?? []),
      ],
      success: [operation, ...(decision.companions?.operations ?? [])],
      failure: [],
      ...(control.fenceTerm === undefined ? {} : { fenceTerm: control.fenceTerm }),
    });
    if (!result.succeeded) return undefined;
    // A deleted object is shown with the version that it had, as upstream does.
    const isDelete = decision.type === "delete";
    return {
      entry: this.#entryOf(place, key, value, isDelete ? revision : result.revision),
      deleted: isDelete,
      revision: result.revision,
    };
  }

  #entryOf(place: ObjectPlace, key: string, value: Buffer, revision: number): Entry {
    const codec = place.stored.codec.of(value);
    const item = revision === 0 ? codec.itemWithoutRevision(value) : codec.item(value, revision);
    return new Entry(codec, { key, namespace: place.namespace, name: place.name }, item, revision);
  }
}

function taken(place: ObjectPlace, existing: Entry | undefined): StatusError {
  const error = alreadyExistsError(place.groupResource, place.name);
  if (existing?.decode().metadata.deletionTimestamp === undefined) return error;
  return new StatusError(error.reason, `object is being deleted: ${error.message}`, {
    details: error.details ?? {},
  });
}

function sameObject(current: Entry, object: KubeObject): boolean {
  const before = current.decode();
  const { resourceVersion: _before, ...metadataBefore } = before.metadata;
  const { resourceVersion: _after, ...metadataAfter } = object.metadata;
  return strictEqual({ ...before, metadata: metadataBefore }, { ...object, metadata: metadataAfter });
}

/** Equal as written: unlike `deepEqual`, an empty list differs from none. */
function strictEqual(left: unknown, right: unknown): boolean {
  return deepEqual(left, right) && JSON.stringify(left).length === JSON.stringify(right).length;
}
