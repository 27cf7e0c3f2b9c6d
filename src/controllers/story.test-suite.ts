/**
 * Stories of controllers as text: a view in, the actions of plans out. A story begins with a line "# Title";
 * its blocks stand between empty lines, each a command with indented YAML, and what it led to after "----".
 * Lines after "; " are remarks.
 *
 *   put [N]               objects, in YAML documents; `$n` counts from 1 to N
 *   change KIND KEY       a merge patch
 *   remove KIND KEY
 *   ready Pod|ReplicaSet [KEY]   pods run and are ready, sets have all their pods: this one, or all
 *   after 90s             time passes (s, m, h)
 *   refuse ACTION KIND REASON: MESSAGE     the next such action is refused
 *   answer ACTION         what actions that ask others than the store are answered
 *   plan KEY              one plan for the key
 *   settle KEY            plans until nothing more is done
 *   show KIND KEY PATH    a part of an object
 *
 * Objects get their kind's defaults and are prepared by its strategy: views are what the API server would store.
 */
import { createHash, createHmac } from "node:crypto";
import { parse, parseAllDocuments, stringify } from "yaml";
import { StatusError } from "#base/errors.ts";
import type { StatusReason } from "#base/errors.ts";
import { applyMergePatch } from "#api/patch/merge-patch.ts";
import type { StrategyContext } from "#kinds/kind.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Action, Controller } from "./controller.ts";
import { keyOf } from "./controller.ts";
import { findKind } from "./kinds.test-suite.ts";
import type { PodSpec } from "./kubernetes.ts";
import type { KnownKind } from "./kinds.test-suite.ts";
import { World } from "./transcript.test-suite.ts";
import { describeFully } from "./story-lines.test-suite.ts";

/** The text with the answers that its commands get now. `makeController`: a new one for each story. */
export function playStories(text: string, makeController: () => Controller): string {
  let story: Story | undefined;
  const blocks = text.trimEnd().split(/\n\n+/);
  const played = blocks.map((block) => {
    if (block.startsWith("# ")) story = new Story(makeController());
    return playBlock(block, (command, yaml) => {
      if (story === undefined) throw new Error("a story begins with its title");
      return story.run(command, yaml);
    });
  });
  return `${played.join("\n\n")}\n`;
}

/** A block's lines with the answer that its command gets now. */
export function playBlock(block: string, run: (command: string, yaml: string) => string[]): string {
  const lines = block.split("\n");
  const end = lines.indexOf("----");
  const asked = end < 0 ? lines : lines.slice(0, end);
  const [command, ...rest] = asked.filter((line) => !/^[#;] /.test(line));
  if (command === undefined) return block;
  const told = run(command, rest.map((line) => line.replace(/^ {2}/, "")).join("\n"));
  return [...asked, ...(told.length > 0 ? ["----", ...told] : [])].join("\n");
}

class Story {
  readonly #world = new World(describeFully);
  readonly #controller: Controller;
  readonly #answers = new Map<string, unknown>();

  constructor(controller: Controller) {
    this.#controller = controller;
    this.#world.answer = (action) => this.#answer(action);
  }

  run(command: string, yaml: string): string[] {
    const [verb = "", ...words] = command.split(" ");
    const [first = "", second = "", third = ""] = words;
    switch (verb) {
      case "put":
        for (const object of readObjects(yaml, Number(first || "1"))) this.#put(object);
        return [];
      case "change":
        this.#change(kindOf(first), second, parse(yaml));
        return [];
      case "remove":
        this.#world.remove(kindOf(first).resource, second);
        return [];
      case "ready":
        this.#ready(kindOf(first), second);
        return [];
      case "after":
        this.#world.nowMs += milliseconds(first);
        return [];
      case "refuse":
        this.#refuse(first, second, words.slice(2).join(" "));
        return [];
      case "answer":
        this.#answers.set(first, parse(yaml));
        return [];
      case "plan":
        return this.#world.runOnce(this.#controller, first);
      case "settle":
        return this.#world.run(this.#controller, first);
      case "show":
        return this.#show(kindOf(first), second, third);
      default:
        throw new Error(`no such command: ${command}`);
    }
  }

  #put(object: KubeObject): void {
    this.#world.put(kindOf(object.kind ?? "").resource, asStored(object, this.#world.nowMs));
  }

  #change({ kind, resource }: KnownKind, key: string, patch: unknown): void {
    const old = this.#get(resource, key);
    const changed = applyMergePatch(old, patch) as unknown as KubeObject;
    kind.applyDefaults?.(changed);
    if (Object.hasOwn(patch as object, "spec"))
      kind.prepareUpdate?.(changed, structuredClone(old), contextAt(this.#world.nowMs));
    if (Object.hasOwn(patch as object, "status")) changed["status"] = applyMergePatch(old, patch)["status"];
    // The world counts a change itself.
    changed.metadata.generation = (changed.metadata.generation ?? 1) - 1;
    this.#world.put(resource, changed);
  }

  #ready({ resource }: KnownKind, key: string): void {
    const at = new Date(this.#world.nowMs).toISOString().replace(".000Z", "Z");
    for (const each of this.#world.list(resource)) {
      if (key !== "" && keyOf(each) !== key) continue;
      const { replicas = 1 } = each["spec"] as { replicas?: number };
      const status =
        resource.kind === "Pod"
          ? { phase: "Running", conditions: [{ type: "Ready", status: "True", lastTransitionTime: at }] }
          : { replicas, readyReplicas: replicas, availableReplicas: replicas };
      const observedGeneration = each.metadata.generation ?? 1;
      const spec = resource.kind === "Pod" ? placed(each["spec"] as PodSpec) : each["spec"];
      const generation = observedGeneration - 1;
      const full = resource.kind === "Pod" ? status : { ...status, observedGeneration };
      this.#world.put(resource, {
        ...each,
        spec,
        status: full,
        metadata: { ...each.metadata, generation },
      } as never);
    }
  }

  #refuse(type: string, kind: string, text: string): void {
    const colon = text.indexOf(": ");
    const reason = text.slice(0, colon);
    const message = text.slice(colon + 2);
    this.#world.refuse = (action) => {
      if (action.type !== type || !("resource" in action) || action.resource.kind !== kind) return undefined;
      this.#world.refuse = () => undefined;
      return new StatusError(reason as StatusReason, message);
    };
  }

  #answer(action: Action): unknown {
    if (action.type === "digest") {
      const hash = action.key === undefined ? createHash("sha256") : createHmac("sha256", action.key);
      return hash.update(action.text).digest(action.encoding);
    }
    return this.#answers.get(action.type) ?? [];
  }

  #show({ resource }: KnownKind, key: string, path: string): string[] {
    let value: unknown = this.#get(resource, key);
    for (const name of path.split(".")) value = (value as Record<string, unknown> | undefined)?.[name];
    return stringify(value ?? null, { lineWidth: 0 })
      .trimEnd()
      .split("\n");
  }

  #get(resource: KnownKind["resource"], key: string): KubeObject {
    const found = this.#world.list(resource).find((each) => keyOf(each) === key);
    if (found === undefined) throw new Error(`there is no ${resource.kind} ${key}`);
    return found;
  }
}

/** The object as the API server would store it when it is created; its status stays. */
export function asStored(object: KubeObject, nowMs: number): KubeObject {
  const { kind } = kindOf(object.kind ?? "");
  if (kind.namespaced) object.metadata.namespace ??= "default";
  if (Object.hasOwn(kind.subresources ?? {}, "status")) object["spec"] ??= {};
  kind.applyDefaults?.(object);
  const { status, spec } = object as { status?: unknown; spec?: { username?: string; groups?: string[] } };
  const { username = "somebody", groups = [] } = spec ?? {};
  kind.prepareCreate?.(object, contextAt(nowMs, { name: username, groups }));
  if (status !== undefined) object["status"] = status;
  delete object.metadata.generation;
  return object;
}

function contextAt(
  nowMs: number,
  user: StrategyContext["user"] = { name: "somebody", groups: [] },
): StrategyContext {
  const now = new Date(nowMs).toISOString().replace(".000Z", "Z");
  return { newUid: () => "a-uid", now, user, warn: () => undefined, namespace: "default" };
}

/** On the node that it names, or that it must be on, or on the first. */
function placed(spec: PodSpec): PodSpec {
  const [term] =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const nodeName = spec.nodeName ?? term?.matchFields?.[0]?.values?.[0] ?? "node-1";
  return { ...spec, nodeName };
}

/** The documents, `count` times. */
export function readObjects(yaml: string, count: number): KubeObject[] {
  const objects: KubeObject[] = [];
  for (let number = 1; number <= count; number++) {
    for (const document of parseAllDocuments(yaml.replaceAll("$n", String(number)))) {
      const [error] = document.errors;
      if (error !== undefined) throw error;
      objects.push(document.toJS() as KubeObject);
    }
  }
  return objects;
}

export function kindOf(name: string): KnownKind {
  const found = findKind(name);
  if (found === undefined) throw new Error(`there is no kind ${name}`);
  return found;
}

function milliseconds(text: string): number {
  const units: Record<string, number> = { s: 1000, m: 60_000, h: 3600_000 };
  const unit = units[text.at(-1) ?? ""];
  if (unit === undefined) throw new Error(`not a duration: ${text}`);
  return Number(text.slice(0, -1)) * unit;
}
