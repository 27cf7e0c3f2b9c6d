/**
 * Runs plans over objects in memory, for tests: actions change the objects as the API would in the simple
 * cases, and each leaves a line in a transcript, which tests compare as text.
 */
import { StatusError } from "#base/errors.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Action, Controller, View } from "./controller.ts";
import { keyOf } from "./controller.ts";
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
  readonly #objects = new Map<string, { resource: Resource; objects: Map<string, KubeObject> }>();
  #version = 0;
  #names = 0;

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
      this.#runOnce(controller, key);
      if (
        this.transcript.slice(before).every((line) => line.startsWith("requeue") || line.startsWith("event"))
      )
        break;
    }
    return this.transcript.slice(start);
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
        const refusal = this.refuse(step.value);
        step = refusal === undefined ? plan.next(this.#execute(step.value)) : plan.throw(refusal);
      }
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.transcript.push(`retry: ${error.message}`);
    }
  }

  #execute(action: Action): unknown {
    switch (action.type) {
      case "get":
        return this.get(action.resource, action.namespace, action.name);
      case "list":
        return this.list(action.resource, action.namespace);
      case "create": {
        const created = this.#store(action.resource, action.object);
        this.#say("create", action.resource, created);
        return created;
      }
      case "update":
        this.#say(
          action.subresource === undefined ? "update" : `update ${action.subresource} of`,
          action.resource,
          action.object,
        );
        return this.#store(action.resource, action.object, action.subresource === undefined);
      case "patch": {
        const old = this.get(action.resource, action.namespace, action.name);
        this.transcript.push(
          `patch ${action.resource.kind} ${action.name} ${JSON.stringify(withoutUid(action.patch))}`,
        );
        return old;
      }
      case "delete":
        this.#say("delete", action.resource, action.object);
        this.#all(action.resource).delete(keyOf(action.object));
        return undefined;
      case "event":
        this.transcript.push(`event ${action.eventType} ${action.reason}: ${action.message}`);
        return undefined;
      case "requeueAfter":
        this.transcript.push(`requeue after ${action.delayMs} ms`);
        return undefined;
      default:
        this.transcript.push(action.type);
        return this.answer(action);
    }
  }

  #say(verb: string, resource: Resource, object: KubeObject): void {
    const { replicas } = (object["spec"] ?? {}) as { replicas?: number };
    const size =
      resource.kind.endsWith("Set") && replicas !== undefined && verb !== "delete" ? ` (${replicas})` : "";
    this.transcript.push(`${verb} ${resource.kind} ${object.metadata.name}${size}`);
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
    stored["spec"] ??= {};
    stored["status"] ??= {};
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

function withoutUid(patch: unknown): unknown {
  const { metadata, ...rest } = patch as { metadata?: Record<string, unknown> };
  const { uid: _, resourceVersion: __, ...kept } = metadata ?? {};
  return { ...rest, ...(Object.keys(kept).length === 0 ? {} : { metadata: kept }) };
}
