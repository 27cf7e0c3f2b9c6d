/**
 * The state of one replica: the store, how much of it is durable, and what its notes say about the
 * cluster. The store is replaced as a whole when a snapshot has come; whoever needs it asks here each time.
 * It knows nothing of raft's progress or of peers.
 */

import { FatalError } from "#base/errors.ts";
import type { WatchHistory } from "#base/watch-hub.ts";
import type { ConfState, HardState, NodeId } from "#raft/types.ts";
import type { SnapshotWriter } from "#store/snapshot.ts";
import type { FormatRange } from "#store/format.ts";
import { checkFormat } from "#store/format.ts";
import type { StateDirectory } from "#store/state-directory.ts";
import type { Store } from "#store/store.ts";
import type { ClusterState } from "./cluster-state.ts";
import { isDiskFull, isUnreadable } from "./errors.ts";
import type { ReplicaLog } from "./log/log.ts";
import { parseMemberId } from "./member-id.ts";

export interface StateEvents {
  /** The state can be written to again. */
  onReleased(): void;
  /** Calls back later: how soon a full disk is tried again. */
  retryLater(retry: () => void): void;
  /** A row is not as it was written. Whoever reads it is told as well. */
  onDamage(error: Error): void;
  /** The disk failed in a way after which nothing written is certain. */
  onFatal(error: Error): void;
}

export class ReplicaState {
  readonly #directory: StateDirectory;
  #store: Store;
  #durableIndex: number;
  #checkpointing = false;
  #held = false;
  readonly #events: StateEvents;
  #confState: ConfState = noMembers;
  #cluster: ClusterState | undefined;
  #format = 1;
  readonly #formats: FormatRange;
  /** Those that were removed have nothing to say. */
  #strangers = new Set<NodeId>();

  /** Opens the state. Throws FatalError or SQLite's errors when it is damaged. */
  constructor(directory: StateDirectory, formats: FormatRange, events: StateEvents) {
    this.#formats = formats;
    this.#directory = directory;
    this.#events = events;
    this.#store = directory.open();
    this.#store.onDamage = (error) => events.onDamage(error);
    this.#durableIndex = flushed(this.#store);
    this.readMembership();
  }

  get store(): Store {
    return this.#store;
  }

  /** What survives a power cut: the log must have everything after it. */
  get durableIndex(): number {
    return this.#durableIndex;
  }

  /** The configuration as of the applied index. */
  get confState(): ConfState {
    return this.#confState;
  }

  /** Undefined until a first snapshot has come. */
  get cluster(): ClusterState | undefined {
    return this.#cluster;
  }

  /** In which the cluster's members write their logs and speak. Only ever raised. */
  get format(): number {
    return this.#format;
  }

  isStranger(id: NodeId): boolean {
    return this.#strangers.has(id);
  }

  /** History for watches, of whatever store is the present one. */
  history(): WatchHistory {
    const store = () => this.#store;
    return {
      get revision() {
        return store().revision;
      },
      get compactRevision() {
        return store().compactRevision;
      },
      events: (...request) => this.read((present) => present.events(...request)),
    };
  }

  /** What SQLite can't read is reported as damaged rows are, and thrown too. */
  read<T>(work: (store: Store) => T): T {
    try {
      return work(this.#store);
    } catch (error) {
      if (isUnreadable(error)) this.#events.onDamage(error);
      throw error;
    }
  }

  /** The term and vote of the log, brought in line with what was applied. */
  hardState(log: ReplicaLog): HardState {
    const hardState = log.hardState;
    // The commit index is flushed along with other things only; what was applied was committed.
    const { index, term } = this.#store.position;
    hardState.commit = Math.max(hardState.commit, index);
    if (hardState.term < term) Object.assign(hardState, { term, vote: 0 });
    return hardState;
  }

  /**
   * Log and state are written apart; a crash may fall between. A state that a snapshot has brought is
   * ahead of the log: the log begins behind it. A state ahead of the log otherwise means that the log
   * has lost what it had flushed.
   */
  reconcile(log: ReplicaLog): void {
    const { index, term } = this.#store.position;
    if (index < log.firstIndex - 1) {
      throw new FatalError("corrupt", "the datastore's state is older than the beginning of its log");
    }
    if (index <= log.lastIndex && (index === 0 || log.term(index) === term)) return;
    if (this.#store.note("received") !== String(index)) {
      throw new FatalError("corrupt", `the log ends at ${log.lastIndex}, but ${index} had been applied`);
    }
    log.beginAfter(index, term);
  }

  /** A received state, which is durable, takes the place of the old one. It needs no room: that of the old one becomes free. */
  adopt(received: SnapshotWriter): void {
    this.#store.close();
    this.#held = false;
    this.#checkpointing = false;
    this.#store = this.#directory.adopt(received);
    this.#store.onDamage = (error) => this.#events.onDamage(error);
    this.#durableIndex = this.#store.position.index;
  }

  /** For as long as a flush takes, nothing may be written to the state. */
  get held(): boolean {
    return this.#held;
  }

  /** Begins a checkpoint if so much was applied that it is time for one, or if the log wants to be shortened. */
  checkpoint(wanted: "if due" | "now"): void {
    const store = this.#store;
    if (this.#checkpointing || (wanted === "if due" && !store.checkpointDue)) return;
    this.#checkpointing = true;
    const { index } = store.position;
    const isCurrent = () => this.#store === store && this.#checkpointing;
    store
      .checkpoint({
        onDurable: () => {
          if (isCurrent()) this.#durableIndex = Math.max(this.#durableIndex, index);
        },
        onHold: (held) => {
          if (isCurrent()) this.#hold(held);
        },
      })
      .then(
        () => {
          if (isCurrent()) this.#checkpointing = false;
        },
        (error: unknown) => {
          if (isCurrent()) this.#onFailure(error as Error);
        },
      );
  }

  #hold(held: boolean): void {
    this.#held = held;
    if (!held) this.#events.onReleased();
  }

  /** Without room the checkpoint is made another time; a flush that failed leaves nothing certain. */
  #onFailure(error: Error): void {
    if (isDiskFull(error)) {
      this.#events.retryLater(() => {
        this.#checkpointing = false;
      });
      return;
    }
    this.#events.onFatal(
      new FatalError("corrupt", `the datastore's state can't be flushed: ${error.message}`, { cause: error }),
    );
  }

  /** Throws FatalError "unsupported" when the cluster has gone on to a format that this release does not know. */
  readMembership(): void {
    this.#format = Number(this.#store.note("format") ?? 1);
    checkFormat(this.#format, this.#formats, "the cluster's datastore");
    const confState = this.#store.note("confState");
    const cluster = this.#store.note("cluster");
    if (confState !== undefined) this.#confState = JSON.parse(confState) as ConfState;
    if (cluster !== undefined) this.#cluster = JSON.parse(cluster) as ClusterState;
    this.#strangers = new Set(this.#cluster?.removed.map(parseMemberId));
  }
}

/** Without room nothing is known to be durable; the first checkpoint that succeeds says more. */
function flushed(store: Store): number {
  try {
    return store.flush();
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    return 0;
  }
}

const noMembers: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};
