/**
 * Carries out the actions of plans, with the leader's term as a fence on every write, and shows the
 * answers to the shared view at once. It decides nothing and retries nothing.
 */
import { createHash, createHmac } from "node:crypto";
import { createEventRecorder, targetOf } from "#client/event-recorder.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import { queryString, resourcePath } from "#client/paths.ts";
import type { ApiClient } from "#client/types.ts";
import type { Action, DiscoveredResource, ExpressionWarning } from "#controllers/controller.ts";
import type { Clock, Logger } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { CertificateSigner } from "./options.ts";
import type { SharedView } from "./shared-view.ts";

export interface ExecutorOptions {
  client: ApiClient;
  view: SharedView;
  clock: Clock;
  logger: Logger;
  fenceTerm: number;
  certificates?: CertificateSigner | undefined;
  checkPolicyTypes?: ((policy: KubeObject) => readonly ExpressionWarning[]) | undefined;
  discover(): Promise<readonly DiscoveredResource[]>;
}

export class Executor {
  readonly #options: ExecutorOptions;
  readonly #recorders = new Map<string, EventRecorder>();

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  recorder(component: string): EventRecorder {
    let recorder = this.#recorders.get(component);
    if (recorder === undefined) {
      const { client, clock, logger } = this.#options;
      this.#recorders.set(component, (recorder = createEventRecorder({ client, clock, logger, component })));
    }
    return recorder;
  }

  /** `requeue`: what happens on a requeueAfter action. */
  async execute(action: Action, component: string, requeue: (delayMs: number) => void): Promise<unknown> {
    const { client, fenceTerm } = this.#options;
    const write = { fieldManager: component, fenceTerm };
    switch (action.type) {
      case "get":
        if (action.subresource !== undefined) {
          const { resource, namespace, name, subresource } = action;
          return await client.getPath(resourcePath(resource, namespace, name, subresource));
        }
        return await client.get(action.resource, action.namespace, action.name);
      case "getPath":
        return await client.getPath(action.path, { query: queryString(action.query) });
      case "list": {
        const { namespace, labelSelector } = action;
        const answer = await client.list(action.resource, {
          ...(namespace === undefined ? {} : { namespace }),
          ...(labelSelector === undefined ? {} : { labelSelector }),
        });
        return answer.items;
      }
      case "create":
        return this.#show(action, await client.create(action.resource, action.object, write));
      case "update":
        return this.#show(
          action,
          await client.update(action.resource, action.object, {
            ...write,
            ...(action.subresource === undefined ? {} : { subresource: action.subresource }),
          }),
        );
      case "patch":
        return this.#show(
          action,
          await client.patch(action.resource, action.namespace, action.name, action.patchType, action.patch, {
            ...write,
            ...(action.subresource === undefined ? {} : { subresource: action.subresource }),
            ...(action.patchType === "apply" ? { force: true } : {}),
          }),
        );
      case "delete":
        return await this.#delete(action);
      case "deleteCollection":
        return await client.deleteCollection(action.resource, { namespace: action.namespace, fenceTerm });
      case "post":
        return await client.post(
          action.resource,
          action.namespace,
          action.name,
          action.subresource,
          action.body,
          write,
        );
      case "readCertificateRequest":
        return await this.#signer().read(action.pem);
      case "signCertificate":
        return await this.#signer().sign(action);
      case "digest": {
        const hash = action.key === undefined ? createHash("sha256") : createHmac("sha256", action.key);
        return hash.update(action.text).digest(action.encoding);
      }
      case "checkPolicyTypes":
        return this.#options.checkPolicyTypes?.(action.policy) ?? [];
      case "discover":
        return await this.#options.discover();
      case "event": {
        const { object, eventType, reason, message } = action;
        this.recorder(component).event(targetOf(object), eventType, reason, message);
        return undefined;
      }
      case "requeueAfter":
        requeue(action.delayMs);
        return undefined;
      default:
        return action satisfies never;
    }
  }

  #signer(): CertificateSigner {
    const { certificates } = this.#options;
    if (certificates === undefined) throw new Error("no authority to sign certificates was given");
    return certificates;
  }

  #show(action: Action & { type: "create" | "update" | "patch" }, answer: KubeObject): KubeObject {
    if (action.type === "create" || action.subresource === undefined || action.subresource === "status") {
      this.#options.view.apply(action.resource, answer);
    }
    // Plans go on with the answer, and status is where they expect it.
    if ("status" in action.resource || answer["spec"] !== undefined) answer["status"] ??= {};
    return answer;
  }

  async #delete(action: Action & { type: "delete" }): Promise<void> {
    const { client, view, fenceTerm } = this.#options;
    const { resource, object, propagation, gracePeriodSeconds, resourceVersion } = action;
    const { namespace, name, uid } = object.metadata;
    const left = await client.delete(resource, namespace, name ?? "", {
      ...(propagation === undefined ? {} : { propagationPolicy: propagation }),
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      preconditions: {
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      fenceTerm,
    });
    if (left !== undefined && staysFor(left)) view.apply(resource, left);
    else view.forget(resource, object);
  }
}

/** The object is still there after its deletion was asked for. */
function staysFor(object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = object.metadata;
  if (deletionTimestamp === undefined) return false;
  return deletionGracePeriodSeconds > 0 || finalizers.length > 0 || object.kind === "Namespace";
}
