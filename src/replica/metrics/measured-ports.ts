/** A replica's ports with a meter on them. What they do is left as it is. */

import type { Clock, Logger } from "#base/ports.ts";
import type { NodeId } from "#raft/types.ts";
import type { StateDirectory } from "#store/state-directory.ts";
import type { Store } from "#store/store.ts";
import { formatMemberId } from "../member-id.ts";
import type { ReplicaMeter } from "./meter.ts";
import type { Disk, DiskFile, PeerTransport, ReplicaPorts } from "../ports.ts";

/** A flush that takes longer than this is told of, as etcd does. */
const slowFlushMs = 1000;

export function measuredPorts(ports: ReplicaPorts, meter: ReplicaMeter): ReplicaPorts {
  const { clock, logger } = ports;
  return {
    ...ports,
    disk: measuredDisk(ports.disk, meter, clock, logger),
    state: measuredState(ports.state, meter, clock),
    transport: measuredTransport(ports.transport, meter),
  };
}

function measuredDisk(disk: Disk, meter: ReplicaMeter, clock: Clock, logger: Logger): Disk {
  return {
    list: () => disk.list(),
    open: (name) => measuredFile(disk.open(name), meter, clock, logger),
    rename: (from, to) => disk.rename(from, to),
    remove: (name) => disk.remove(name),
    flushNames: () => disk.flushNames(),
  };
}

function measuredFile(file: DiskFile, meter: ReplicaMeter, clock: Clock, logger: Logger): DiskFile {
  return {
    get sizeBytes() {
      return file.sizeBytes;
    },
    read: (position, length) => file.read(position, length),
    write: (position, bytes) => file.write(position, bytes),
    close: () => file.close(),
    flush(done) {
      const startedMs = clock.monotonicMs();
      file.flush((error) => {
        const nowMs = clock.monotonicMs();
        const tookMs = nowMs - startedMs;
        meter.flushSeconds.observe(tookMs / 1000);
        meter.spans.add("flush", startedMs, nowMs);
        if (tookMs >= slowFlushMs)
          logger.warn("slow fdatasync", { tookMs: Math.round(tookMs), expectedMs: slowFlushMs });
        done(error);
      });
    },
  };
}

function measuredState(state: StateDirectory, meter: ReplicaMeter, clock: Clock): StateDirectory {
  const measured = (store: Store): Store => {
    const batch = store.batch.bind(store);
    // On the object itself: a store is no port, and everybody who writes to it does so through this.
    store.batch = (work) => {
      const startedMs = clock.monotonicMs();
      try {
        return batch(work);
      } finally {
        const nowMs = clock.monotonicMs();
        meter.commitSeconds.observe((nowMs - startedMs) / 1000);
        meter.spans.add("apply", startedMs, nowMs);
      }
    };
    return store;
  };
  return {
    open: () => measured(state.open()),
    receive: () => state.receive(),
    adopt(received) {
      meter.snapshotsReceived++;
      return measured(state.adopt(received));
    },
  };
}

function measuredTransport(transport: PeerTransport, meter: ReplicaMeter): PeerTransport {
  const sent = (to: NodeId, frame: Uint8Array) => {
    meter.peer(formatMemberId(to)).sentBytes += frame.length;
  };
  return {
    start(events) {
      transport.start({
        onFrame(from, frame, reply) {
          meter.peer(formatMemberId(from)).receivedBytes += frame.length;
          events.onFrame(from, frame, (answer) => {
            const taken = reply(answer);
            if (taken) sent(from, answer);
            else meter.peer(formatMemberId(from)).sendFailures++;
            return taken;
          });
        },
        onUnreachable: (peer) => events.onUnreachable(peer),
      });
    },
    setPeers: (peers) => transport.setPeers(peers),
    send(to, channel, frame) {
      const taken = transport.send(to, channel, frame);
      if (taken) sent(to, frame);
      else meter.peer(formatMemberId(to)).sendFailures++;
      return taken;
    },
  };
}
