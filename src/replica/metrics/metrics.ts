/**
 * A replica's numbers as Prometheus reads them. Names and types are etcd's where the thing is the same, so that
 * dashboards and alerts made for etcd work; what etcd does not have begins with `trivet_`.
 */

import type { Family, Sample } from "#base/exposition.ts";
import type { ReplicaMeter } from "./meter.ts";
import type { ScrubProgress } from "../damage/scrubber.ts";
import type { ReplicaStatus } from "../types.ts";

/** What is known at the moment of the question. */
export interface ReplicaNow {
  status: ReplicaStatus;
  isLeader: boolean;
  isLearner: boolean;
  keys: number;
  watchers: number;
  /** Peers that were heard from within the last seconds. */
  activePeers: string[];
  /** How long the replica's thread has been busy since its start. */
  threadActiveSeconds: number;
  scrub: ScrubProgress;
}

export function replicaFamilies(meter: ReplicaMeter, now: ReplicaNow): Family[] {
  return [
    ...serverFamilies(meter, now),
    ...diskFamilies(meter, now),
    ...networkFamilies(meter, now),
    ...ownFamilies(meter, now),
    ...scrubFamilies(now),
  ];
}

function serverFamilies(meter: ReplicaMeter, now: ReplicaNow): Family[] {
  const { status } = now;
  return [
    gauge("etcd_server_id", "The member's id, as a label.", [
      { labels: { server_id: status.memberId }, value: 1 },
    ]),
    gauge("etcd_server_has_leader", "Whether a leader is known.", status.leaderId === undefined ? 0 : 1),
    gauge("etcd_server_is_leader", "Whether this member leads.", now.isLeader ? 1 : 0),
    gauge("etcd_server_is_learner", "Whether this member replicates without a vote.", now.isLearner ? 1 : 0),
    counter("etcd_server_leader_changes_seen_total", "Leaders that came into office.", meter.leaderChanges),
    gauge(
      "etcd_server_proposals_committed_total",
      "Index up to which the log is committed.",
      status.committedIndex,
    ),
    gauge(
      "etcd_server_proposals_applied_total",
      "Index up to which the log is applied here.",
      status.appliedIndex,
    ),
    gauge("etcd_server_proposals_pending", "Writes of this node that are under way.", meter.pendingProposals),
    counter(
      "etcd_server_proposals_failed_total",
      "Writes of this node that ended with an error.",
      meter.failedProposals,
    ),
    gauge("etcd_debugging_mvcc_current_revision", "The store's revision here.", status.revision),
    gauge(
      "etcd_debugging_mvcc_compact_revision",
      "Revision below which history is gone.",
      status.compactRevision,
    ),
    gauge("etcd_debugging_mvcc_keys_total", "Keys that exist.", now.keys),
    gauge("etcd_debugging_mvcc_watcher_total", "Watches on this node.", now.watchers),
  ];
}

function diskFamilies(meter: ReplicaMeter, { status }: ReplicaNow): Family[] {
  return [
    histogram("etcd_disk_wal_fsync_duration_seconds", "Flushes of the log.", meter.flushSeconds.samples()),
    histogram(
      "etcd_disk_backend_commit_duration_seconds",
      "Transactions of the state.",
      meter.commitSeconds.samples(),
    ),
    gauge("etcd_mvcc_db_total_size_in_bytes", "Size of the state.", status.databaseBytes),
  ];
}

function networkFamilies(meter: ReplicaMeter, { status, activePeers }: ReplicaNow): Family[] {
  const peers = [...meter.peers];
  const perPeer = (label: string, value: (peer: (typeof peers)[0][1]) => number): Sample[] =>
    peers.map(([id, peer]) => ({ labels: { [label]: id }, value: value(peer) }));
  return [
    counter(
      "etcd_network_peer_sent_bytes_total",
      "To each member, before encryption.",
      perPeer("To", (peer) => peer.sentBytes),
    ),
    counter(
      "etcd_network_peer_received_bytes_total",
      "From each member, after decryption.",
      perPeer("From", (peer) => peer.receivedBytes),
    ),
    counter(
      "etcd_network_peer_sent_failures_total",
      "Frames that could not be sent.",
      perPeer("To", (peer) => peer.sendFailures),
    ),
    histogram(
      "etcd_network_peer_round_trip_time_seconds",
      "From thread to thread and back.",
      peers.flatMap(([id, peer]) => peer.roundTripSeconds.samples({ To: id })),
    ),
    gauge(
      "etcd_network_active_peers",
      "Members that were heard from lately.",
      activePeers.map((id) => ({ labels: { Local: status.memberId, Remote: id }, value: 1 })),
    ),
  ];
}

function ownFamilies(meter: ReplicaMeter, { status, threadActiveSeconds }: ReplicaNow): Family[] {
  const { members } = status;
  const named = (value: (member: (typeof members)[0]) => number): Sample[] =>
    members.map((member) => ({ labels: { member: member.name, id: member.id }, value: value(member) }));
  const requests = [...meter.requests];
  return [
    gauge("trivet_replica_term", "Raft's term.", status.term),
    gauge(
      "trivet_replica_member_lag_entries",
      "Entries that a member is behind the leader.",
      named(({ lagEntries }) => lagEntries).filter(({ value }) => value >= 0),
    ),
    gauge(
      "trivet_replica_member_online",
      "Whether the leader hears a member.",
      named(({ online }) => Number(online)),
    ),
    gauge(
      "trivet_replica_member_role",
      "1 for the role that a member has.",
      members.map(({ name, id, role }) => ({ labels: { member: name, id, role }, value: 1 })),
    ),
    gauge(
      "trivet_replica_failures_to_quorum_loss",
      "Voters that may fail before writes stop; -1 when they have stopped.",
      status.failuresToQuorumLoss,
    ),
    gauge("trivet_replica_log_bytes", "Size of the log on disk.", status.logBytes),
    gauge(
      "trivet_replica_role_decision_timestamp_seconds",
      "When the leader last changed a role.",
      status.decisions.length === 0 ? [] : Math.max(...status.decisions.map(({ timeMs }) => timeMs)) / 1000,
    ),
    counter(
      "trivet_replica_snapshots_received_total",
      "Copies of the state from another member.",
      meter.snapshotsReceived,
    ),
    histogram(
      "trivet_replica_request_duration_seconds",
      "Calls of the datastore on this node.",
      requests.flatMap(([method, { seconds }]) => seconds.samples({ method })),
    ),
    counter(
      "trivet_replica_requests_failed_total",
      "Calls that ended with an error.",
      requests.map(([method, { failed }]) => ({ labels: { method }, value: failed })),
    ),
    counter(
      "trivet_replica_slow_requests_total",
      "Calls that took longer than the slow-request limit.",
      requests.map(([method, { slow }]) => ({ labels: { method }, value: slow })),
    ),
    counter(
      "trivet_replica_thread_active_seconds_total",
      "Time that the replica's thread was busy.",
      threadActiveSeconds,
    ),
    histogram(
      "trivet_replica_thread_delay_seconds",
      "How late the replica's thread turned, 20 looks a second.",
      meter.threadDelaySeconds.samples(),
    ),
  ];
}

function scrubFamilies({ scrub }: ReplicaNow): Family[] {
  return [
    counter("trivet_replica_scrubbed_rows_total", "Rows of the state that were looked through.", scrub.rows),
    counter(
      "trivet_replica_scrubbed_segments_total",
      "Files of the log that were looked through.",
      scrub.segments,
    ),
    counter("trivet_replica_scrubs_total", "Times that everything was looked through.", scrub.walks),
    counter(
      "trivet_replica_scrub_damage_total",
      "Damaged rows and files that were found so, each time anew.",
      scrub.damaged,
    ),
  ];
}

function gauge(name: string, help: string, value: number | Sample[]): Family {
  return { name, help, type: "gauge", samples: typeof value === "number" ? [{ value }] : value };
}

function counter(name: string, help: string, value: number | Sample[]): Family {
  return { ...gauge(name, help, value), type: "counter" };
}

function histogram(name: string, help: string, samples: Sample[]): Family {
  return { name, help, type: "histogram", samples };
}
