/**
 * Runs plans over objects in memory, for tests: actions change the objects as the API would in the simple
 * cases, and each leaves lines in a transcript, which tests compare as text.
 */
import { applyMergePatch } from "#api/patch/merge-patch.ts";
import { applyStrategicMergePatch } from "#api/patch/strategic.ts";
import { StatusError } from "#base/errors.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Action, Controller, View } from "./controller.ts";
import { keyOf } from "./controller.ts";
import { findKind } from "./kinds.test-suite.ts";
import { viewIndexes } from "./indexes.ts";
import { apiVersionOf } from "./kubernetes.ts";
import type { Resource } from "./kubernetes.ts";

export class World implements View {
  nowMs = Date.parse("2026-01-01T00:00:00Z");
  readonly transcript: string[] = [];
  /** Refuses an action, if it returns an error. */
  refuse: (action: Action) => StatusError | undefined = () => undefined;
  /** Answers actions that ask somebody else than the store. */
  answer: (action: Action) => unknown = () => [];
  readonly #describe: Describe;
  readonly #objects = new Map<string, { resource: Resource; objects: Map<string, KubeObject> }>();
  #version = 0;
  #names = 0;
  /** Actions that were to change something. */
  #changes = 0;

  constructor(describe: Describe = brief) {
    this.#describe = describe;
  }

  put<T extends KubeObject>(
    resource: Resource<T>,
    object: Partial<T> & { metadata: KubeObject["metadata"] },
  ): T {
    return this.#store(resource as Resource, object as KubeObject) as T;
  }

  /** Plans the key until nothing more is done (at most so often), and returns what was done meanwhile. */
  run(controller: Controller, key: string, rounds = 10): string[] {
    const start = this.transcript.length;
    for (let round = 0; round < rounds; round++) {
      const before = this.transcript.length;
      const changes = this.#changes;
      this.#runOnce(controller, key);
      if (this.#changes > changes) continue;
      // Nothing but events and pauses: worth a line unless an earlier round has told them.
      const told = new Set(this.transcript.slice(start, before));
      const news = this.transcript.splice(before).filter((line) => !told.has(line));
      this.transcript.push(...news);
      break;
    }
    return this.transcript.slice(start);
  }

  /** Plans the key once. */
  runOnce(controller: Controller, key: string): string[] {
    const start = this.transcript.length;
    this.#runOnce(controller, key);
    return this.transcript.slice(start);
  }

  remove(resource: Resource, key: string): void {
    this.#all(resource).delete(key);
  }

  resources(): readonly Resource[] {
    return [...this.#objects.values()].map((each) => each.resource);
  }

  get<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string | undefined,
    name: string,
  ): T | undefined {
    const key = namespace === undefined || namespace === "" ? name : `${namespace}/${name}`;
    return this.#all(resource).get(key) as T | undefined;
  }

  list<T extends KubeObject>(resource: Resource<T>, namespace?: string): T[] {
    return [...this.#all(resource).values()].filter(
      (each) => namespace === undefined || each.metadata.namespace === namespace,
    ) as T[];
  }

  byIndex<T extends KubeObject>(resource: Resource<T>, index: string, value: string): T[] {
    return this.list(resource).filter((each) => viewIndexes[index]!(each).includes(value));
  }

  #runOnce(controller: Controller, key: string): void {
    try {
      const plan = controller.plan(this, key, this.nowMs);
      let step = plan.next();
      while (step.done !== true) {
        const { answer, refusal } = this.#perform(step.value);
        step = refusal === undefined ? plan.next(answer) : plan.throw(refusal);
      }
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.transcript.push(`retry: ${error.message}`);
    }
  }

  #perform(action: Action): { answer?: unknown; refusal?: StatusError } {
    if (isWrite(action)) this.#changes++;
    const refusal = this.refuse(action);
    if (refusal !== undefined) return { refusal };
    try {
      return { answer: this.#execute(action) };
    } catch (error) {
      if (error instanceof StatusError) return { refusal: error };
      throw error;
    }
  }

  #execute(action: Action): unknown {
    const old = this.#target(action);
    const result = this.#carryOut(action, old);
    this.transcript.push(...this.#describe(action, old, result as KubeObject | undefined));
    return result;
  }

  #target(action: Action): KubeObject | undefined {
    switch (action.type) {
      case "update":
      case "delete":
        return this.#all(action.resource).get(keyOf(action.object));
      case "patch":
        return this.get(action.resource, action.namespace, action.name);
      default:
        return undefined;
    }
  }

  #carryOut(action: Action, old: KubeObject | undefined): unknown {
    switch (action.type) {
      case "get":
        if (action.subresource !== undefined) return this.answer(action);
        return this.get(action.resource, action.namespace, action.name) ?? notFound(action);
      case "list":
        return this.#select(action);
      case "create":
        // Reviews are answered, not stored.
        return isWrite(action) ? this.#store(action.resource, action.object) : this.answer(action);
      case "update":
        return this.#store(action.resource, action.object, action.subresource === undefined);
      case "patch":
        return old === undefined
          ? notFound(action)
          : this.#store(action.resource, patched(old, action), action.subresource === undefined);
      case "delete":
        return this.#delete(action);
      case "deleteCollection":
        for (const each of this.list(action.resource, action.namespace))
          this.#all(action.resource).delete(keyOf(each));
        return undefined;
      case "event":
      case "requeueAfter":
        return undefined;
      default:
        return this.answer(action);
    }
  }

  #select({ resource, namespace, labelSelector }: Action & { type: "list" }): KubeObject[] {
    const wanted = (labelSelector ?? "").split(",").filter((each) => each !== "");
    return this.list(resource, namespace).filter(({ metadata }) =>
      wanted.every((each) => metadata.labels?.[each.split("=")[0]!] === each.split("=").at(-1)),
    );
  }

  /** What finalizers hold stays, marked. */
  #delete({ resource, object }: Action & { type: "delete" }): void {
    const all = this.#all(resource);
    const key = keyOf(object);
    const stored = all.get(key);
    if (stored === undefined || (stored.metadata.finalizers ?? []).length === 0) {
      all.delete(key);
      return;
    }
    const deletionTimestamp = new Date(this.nowMs).toISOString().replace(".000Z", "Z");
    all.set(key, { ...stored, metadata: { ...stored.metadata, deletionTimestamp } });
  }

  #store(resource: Resource, object: KubeObject, changesSpec = true): KubeObject {
    const stored = structuredClone(object);
    const { metadata } = stored;
    metadata.name ??= `${metadata.generateName}${++this.#names}`;
    metadata.uid ??= `${resource.plural}-${metadata.name}`;
    metadata.creationTimestamp ??= new Date(this.nowMs + this.#version).toISOString();
    metadata.resourceVersion = String(++this.#version);
    if (changesSpec) metadata.generation = (metadata.generation ?? 0) + 1;
    stored.apiVersion ??= apiVersionOf(resource);
    stored.kind ??= resource.kind;
    const kind = findKind(stored.kind)?.kind;
    if (kind === undefined || "status" in (kind.subresources ?? {})) {
      stored["spec"] ??= {};
      stored["status"] ??= {};
    }
    this.#all(resource).set(keyOf(stored), stored);
    return stored;
  }

  #all(resource: Resource | Resource<never>): Map<string, KubeObject> {
    const key = `${resource.group}/${resource.plural}`;
    let found = this.#objects.get(key);
    if (found === undefined)
      this.#objects.set(key, (found = { resource: resource as Resource, objects: new Map() }));
    return found.objects;
  }
}

function isWrite(action: Action): boolean {
  switch (action.type) {
    case "create":
      return findKind(action.resource.kind)?.kind.stored !== false;
    case "update":
    case "patch":
    case "delete":
    case "deleteCollection":
    case "post":
      return true;
    default:
      return false;
  }
}

/** What an action did, in lines. */
export type Describe = (
  action: Action,
  old: KubeObject | undefined,
  result: KubeObject | undefined,
) => string[];

/** A line for each action that changes something. */
function brief(action: Action, _old: KubeObject | undefined, result: KubeObject | undefined): string[] {
  switch (action.type) {
    case "get":
    case "list":
      return [];
    case "create":
      return [`create ${named(action.resource, result?.metadata === undefined ? action.object : result)}`];
    case "update":
      return [
        `update ${action.subresource === undefined ? "" : `${action.subresource} of `}${named(action.resource, action.object)}`,
      ];
    case "patch":
      return [`patch ${action.resource.kind} ${action.name} ${JSON.stringify(withoutUid(action.patch))}`];
    case "delete":
      return [`delete ${action.resource.kind} ${action.object.metadata.name}`];
    case "event":
      return [`event ${action.eventType} ${action.reason}: ${action.message}`];
    case "requeueAfter":
      return [`requeue after ${action.delayMs} ms`];
    default:
      return [action.type];
  }
}

function named(resource: Resource, object: KubeObject): string {
  const { replicas } = (object["spec"] ?? {}) as { replicas?: number };
  const size = resource.kind.endsWith("Set") && replicas !== undefined ? ` (${replicas})` : "";
  const { name } = object.metadata;
  return name === undefined ? resource.kind : `${resource.kind} ${name}${size}`;
}

function patched(old: KubeObject, { resource, patchType, patch }: Action & { type: "patch" }): KubeObject {
  const { uid: _, resourceVersion: __, ...metadata } = (patch as Partial<KubeObject>).metadata ?? {};
  const body = { ...(patch as object), metadata };
  const schema = findKind(resource.kind)?.schema;
  const result =
    patchType === "strategic" ? applyStrategicMergePatch(old, body, schema) : applyMergePatch(old, body);
  return result as unknown as KubeObject;
}

function notFound({ resource, name }: { resource: Resource; name: string }): never {
  throw new StatusError("NotFound", `${resource.plural} "${name}" not found`);
}

function withoutUid(patch: unknown): unknown {
  const { metadata, ...rest } = patch as { metadata?: Record<string, unknown> };
  const { uid: _, resourceVersion: __, ...kept } = metadata ?? {};
  return { ...rest, ...(Object.keys(kept).length === 0 ? {} : { metadata: kept }) };
}
