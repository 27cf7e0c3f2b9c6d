/** Starts a replica in a thread of its own and gives the main thread a handle on it. */

import { Worker } from "node:worker_threads";
import { StatusError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import { BackendClient } from "./session/backend-client.ts";
import type { BackupChunk, BegunBackup } from "./backup/backup-source.ts";
import type { ReplicaSettings } from "./open-replica.ts";
import type { FromThread, ToThread } from "./thread-messages.ts";
import { toError } from "./thread-messages.ts";
import type {
  JoinGrant,
  MemberRecord,
  ReplicaHandle,
  ReplicaOptions,
  ReplicaStatus,
  ReplicaSurvey,
} from "./types.ts";

/**
 * Resolves when the replica listens and its log and state are open; it may take a moment more until a
 * leader is known (`status().ready`). Rejects with a FatalError when the directory or the port is no good.
 */
export async function startReplica(options: ReplicaOptions): Promise<ReplicaHandle> {
  const { logger, onFatal, ...settings } = options;
  const thread = new ReplicaThread(settings, logger, onFatal);
  await thread.ready;
  const { backend } = thread;
  const control = <T>(method: string, ...args: unknown[]) => thread.control(method, args) as Promise<T>;
  return {
    backend,
    get memberId() {
      return thread.opened.memberId;
    },
    get clusterId() {
      return thread.opened.clusterId;
    },
    get port() {
      return thread.opened.port;
    },
    addMember: (member) => control<JoinGrant>("addMember", member),
    removeMember: (id) => control<void>("removeMember", id),
    updateMember: (id, change) => control<void>("updateMember", id, change),
    transferLeadership: (id) => control<void>("transferLeadership", id),
    setVoters: (voters) => control<void>("setVoters", voters),
    onStatus: (callback) => thread.onStatus(callback),
    outage: (durationMs) => control<void>("outage", durationMs),
    members: () => control<MemberRecord[]>("members"),
    status: () => control<ReplicaStatus>("status"),
    metrics: () => control<string>("metrics"),
    setTls: (tls) => control<void>("setTls", tls),
    async backup(unconfirmed) {
      const { info, token } = await control<BegunBackup>("backupBegin", unconfirmed);
      return { info, chunks: backupChunks(control, token) };
    },
    survey: () => control<ReplicaSurvey>("survey"),
    recover: (request) => control<void>("recover", request),
    stop: () => thread.stop(),
    kill: () => thread.kill(),
  };
}

async function* backupChunks(
  control: <T>(method: string, ...args: unknown[]) => Promise<T>,
  token: string,
): AsyncGenerator<Uint8Array> {
  try {
    for (let at: number | undefined = 0; at !== undefined;) {
      const chunk: BackupChunk = await control<BackupChunk>("backupChunk", token, at);
      yield chunk.bytes;
      at = chunk.next;
    }
  } finally {
    // Read to its end, given up, or failed: whether the thread still knows of it is its own business.
    await control<void>("backupEnd", token).catch(() => undefined);
  }
}

class ReplicaThread {
  readonly ready: Promise<FromThread & { type: "ready" }>;
  readonly backend: BackendClient;
  readonly #worker: Worker;
  readonly #logger: Logger;
  readonly #onFatal: ((error: Error) => void) | undefined;
  readonly #calls = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  readonly #timer: NodeJS.Timeout;
  readonly #statusWatchers = new Set<(status: ReplicaStatus) => void>();
  #status: ReplicaStatus | undefined;
  #lastId = 0;
  #opened: (FromThread & { type: "ready" }) | undefined;
  #stopping: Promise<void> | undefined;
  #settleReady:
    | { resolve(ready: FromThread & { type: "ready" }): void; reject(error: Error): void }
    | undefined;

  constructor(settings: ReplicaSettings, logger: Logger, onFatal?: (error: Error) => void) {
    this.#logger = logger;
    this.#onFatal = onFatal;
    this.#worker = new Worker(new URL("./thread.ts", import.meta.url), {
      workerData: settings,
      name: "replica",
    });
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    this.backend = new BackendClient(
      {
        send: (body) => {
          this.#post({ type: "session", body }, body.buffer);
          return true;
        },
        later: (flush) => process.nextTick(flush),
      },
      () => performance.now(),
    );
    // Asked for now, so that who asks later is told at once.
    this.backend.onLeadership(() => undefined);
    this.#worker.on("message", (message: FromThread) => this.#onMessage(message));
    this.#worker.on("error", (error) => this.#onDeath(error as Error));
    this.#worker.on("exit", () => this.#onDeath(new Error("the replica's thread has ended")));
    // The thread can't fall silent without an exit, so only overdue calls are looked after.
    this.#timer = setInterval(() => this.backend.tick(Infinity), 1000);
  }

  /** As whom the replica was opened last: one that had to begin anew has another id. */
  get opened(): FromThread & { type: "ready" } {
    if (this.#opened === undefined)
      throw new StatusError("ServiceUnavailable", "the replica is not open yet");
    return this.#opened;
  }

  control(method: string, args: unknown[]): Promise<unknown> {
    if (this.backend.failure !== undefined) return Promise.reject(this.backend.failure);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#post({ type: "control", id, method, args });
    });
  }

  onStatus(callback: (status: ReplicaStatus) => void): () => void {
    this.#statusWatchers.add(callback);
    if (this.#status !== undefined) callback(this.#status);
    return () => this.#statusWatchers.delete(callback);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async kill(): Promise<void> {
    this.#stopping ??= Promise.resolve();
    clearInterval(this.#timer);
    await this.#worker.terminate();
  }

  async #stop(): Promise<void> {
    clearInterval(this.#timer);
    if (this.backend.failure === undefined) {
      // A thread that dies on the way has stopped too.
      await this.control("stop", []).catch((error: unknown) => {
        this.#logger.warn("the replica did not stop in order", { error: String(error) });
      });
      await this.backend.close();
    }
    await this.#worker.terminate();
  }

  #post(message: ToThread, ...transferred: ArrayBuffer[]): void {
    this.#worker.postMessage(message, transferred);
  }

  #onMessage(message: FromThread): void {
    switch (message.type) {
      case "ready":
        this.#opened = message;
        this.#settleReady?.resolve(message);
        this.#settleReady = undefined;
        return;
      case "status":
        this.#status = message.status;
        for (const watcher of this.#statusWatchers) watcher(message.status);
        return;
      case "session":
        this.backend.receive(message.body);
        return;
      case "control": {
        const call = this.#calls.get(message.id);
        this.#calls.delete(message.id);
        if (message.error !== undefined) call?.reject(toError(message.error));
        else call?.resolve(message.result);
        return;
      }
      case "log":
        this.#logger[message.level](message.message, message.fields);
        return;
      case "fatal":
        this.#onDeath(toError(message.error));
    }
  }

  #onDeath(error: Error): void {
    clearInterval(this.#timer);
    const starting = this.#settleReady;
    this.#settleReady = undefined;
    const known = this.backend.failure !== undefined || this.#stopping !== undefined;
    const lost = new StatusError("ServiceUnavailable", "the replica has stopped", { cause: error });
    this.backend.fail(lost);
    for (const call of this.#calls.values()) call.reject(lost);
    this.#calls.clear();
    if (starting !== undefined) {
      starting.reject(error);
      void this.#worker.terminate();
    } else if (!known) this.#onFatal?.(error);
  }
}
