/**
 * The replica's numbers while they grow: plain counters and histograms, written by `measured-ports.ts` and
 * `measured-backend.ts`, read by `metrics.ts`. Bounds of histograms are those of etcd's metrics of the same name.
 */

import { exponentialBounds, Histogram } from "#base/exposition.ts";
import { BusySpans } from "./busy-spans.ts";

export interface PeerMeter {
  sentBytes: number;
  receivedBytes: number;
  /** Frames that could not be sent. */
  sendFailures: number;
  roundTripSeconds: Histogram;
}

export class ReplicaMeter {
  readonly spans = new BusySpans();
  readonly flushSeconds = new Histogram(exponentialBounds(0.001, 2, 14));
  /** How much later than asked for the replica's thread turned. */
  readonly threadDelaySeconds = new Histogram(exponentialBounds(0.001, 2, 14));
  readonly commitSeconds = new Histogram(exponentialBounds(0.001, 2, 14));
  /** Of calls of the backend, by method. */
  readonly requests = new Map<string, { seconds: Histogram; failed: number; slow: number }>();
  /** By member id, 16 hex digits. */
  readonly #peers = new Map<string, PeerMeter>();
  snapshotsReceived = 0;
  leaderChanges = 0;
  pendingProposals = 0;
  failedProposals = 0;

  peer(id: string): PeerMeter {
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      const roundTripSeconds = new Histogram(exponentialBounds(0.0001, 2, 16));
      this.#peers.set(id, (peer = { sentBytes: 0, receivedBytes: 0, sendFailures: 0, roundTripSeconds }));
    }
    return peer;
  }

  get peers(): ReadonlyMap<string, PeerMeter> {
    return this.#peers;
  }

  request(method: string): { seconds: Histogram; failed: number; slow: number } {
    let request = this.requests.get(method);
    if (request === undefined) {
      const seconds = new Histogram(exponentialBounds(0.0005, 2, 16));
      this.requests.set(method, (request = { seconds, failed: 0, slow: 0 }));
    }
    return request;
  }
}
