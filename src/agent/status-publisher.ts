/**
 * Brings the status of one pod to the API: only what differs, only the newest, one write at a time, and
 * again until it has arrived. The work of the pod never waits for it.
 */
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger } from "#base/ports.ts";
import type { Client } from "#client/types.ts";
import { pods } from "./types.ts";
import type { Pod, PodStatus } from "./types.ts";

const ownConditions = new Set([
  "PodReadyToStartContainers",
  "Initialized",
  "Ready",
  "ContainersReady",
  "PodScheduled",
]);

export class StatusPublisher {
  #client: Client;
  #clock: Clock;
  #logger: Logger;
  #pod: Pod;
  #wanted: PodStatus | undefined;
  #sent: PodStatus | undefined;
  #sentText = "";
  #running: Promise<void> | undefined;
  #gone = false;

  constructor(client: Client, clock: Clock, logger: Logger, pod: Pod) {
    this.#client = client;
    this.#clock = clock;
    this.#logger = logger;
    this.#pod = pod;
    this.#sent = pod.status;
  }

  /** The API's newest state of the pod, so that what others changed back is written again. */
  observe(pod: Pod): void {
    this.#pod = pod;
    if (this.#running || !this.#sent || !this.#wanted || agrees(pod.status, this.#sent)) return;
    // Somebody else wrote over it, as the node controller does when it takes the node for dead.
    this.#sentText = "";
    this.publish(this.#wanted);
  }

  publish(status: PodStatus): void {
    this.#wanted = status;
    if (JSON.stringify(status) === this.#sentText) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when the newest status has arrived, or the pod is gone. */
  async flush(): Promise<void> {
    while (this.#running) await this.#running;
  }

  /** The pod no longer exists: nothing is to be written any more. */
  close(): void {
    this.#gone = true;
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#gone && this.#wanted) {
      const status = this.#wanted;
      const text = JSON.stringify(status);
      if (text === this.#sentText) return;
      try {
        await this.#send(status);
        this.#sent = status;
        this.#sentText = text;
        failures = 0;
      } catch (error) {
        if (error instanceof StatusError && (error.code === 404 || error.code === 409)) {
          this.#gone = error.code === 404;
          // A conflict means another pod of the same name: this one is gone.
          if (error.code === 409 && failures++ > 2) this.#gone = true;
          continue;
        }
        failures++;
        const delayMs = Math.min(200 * 2 ** failures, 5_000);
        this.#logger.debug("writing a pod's status failed, will be tried again", {
          pod: `${this.#pod.metadata.namespace}/${this.#pod.metadata.name}`,
          error: String(error),
        });
        await new Promise<void>((resolve) => {
          this.#clock.setTimer(delayMs, resolve);
        });
      }
    }
  }

  async #send(status: PodStatus): Promise<void> {
    const { namespace, name, uid } = this.#pod.metadata;
    const patch = { metadata: { uid }, status: statusPatch(this.#sent, status) };
    await this.#client.patch(pods, namespace, name ?? "", "strategic", patch, { subresource: "status" });
  }
}

/** Whether what the API has is what was sent, as far as others would change it. */
function agrees(stored: PodStatus | undefined, sent: PodStatus): boolean {
  const own = (status: PodStatus | undefined) =>
    (status?.conditions ?? [])
      .filter((each) => ownConditions.has(each.type))
      .map((each) => `${each.type}=${each.status}`)
      .sort()
      .join();
  return stored?.phase === sent.phase && own(stored) === own(sent);
}

/** The strategic merge patch from one status to the next. Conditions of others are left alone. */
export function statusPatch(before: PodStatus | undefined, after: PodStatus): Record<string, unknown> {
  const patch: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(after)) if (value !== undefined) patch[key] = value;
  for (const key of Object.keys(before ?? {})) {
    const kept = ["nominatedNodeName", "resize", "conditions"].includes(key);
    if (!kept && patch[key] === undefined) patch[key] = null;
  }
  patch["conditions"] = (after.conditions ?? []).filter((each) => ownConditions.has(each.type));
  for (const key of ["podIPs", "hostIPs"] as const) {
    const now = after[key] ?? [];
    const old = (before?.[key] ?? []).filter((each) => !now.some((other) => other.ip === each.ip));
    if (old.length > 0 && patch[key] !== null)
      patch[key] = [...now, ...old.map((each) => ({ ...each, $patch: "delete" }))];
  }
  return patch;
}
