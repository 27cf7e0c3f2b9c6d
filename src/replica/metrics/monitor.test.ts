import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { TestCluster, until } from "../cluster.fixture.ts";
import type { ReplicaHandle } from "../types.ts";

describe("the numbers of three replicas", () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await TestCluster.start(3);
  });
  after(() => cluster.close());

  async function put(handle: ReplicaHandle, key: string): Promise<void> {
    const value = new Uint8Array(1000);
    await handle.backend.transact({ compare: [], success: [{ type: "put", key, value }], failure: [] });
  }

  test("writes leave their traces on every node", async () => {
    const leader = await cluster.leader();
    const follower = (leader + 1) % 3;
    const watch = cluster
      .handle(follower)
      .backend.watch({ key: "k" }, { onEvents: () => undefined, onEnd: () => undefined });
    for (let at = 0; at < 20; at++) await put(cluster.handle(follower), `k${at}`);
    const own = numbers(await cluster.handle(leader).metrics());
    const other = numbers(await cluster.handle(follower).metrics());
    const status = await cluster.handle(leader).status();
    assert.equal(own.get("etcd_server_has_leader"), 1);
    assert.equal(own.get("etcd_server_is_leader"), 1);
    assert.equal(other.get("etcd_server_is_leader"), 0);
    assert.equal(own.get("etcd_server_leader_changes_seen_total"), 1);
    assert.ok(own.get("etcd_server_proposals_committed_total")! >= 20);
    assert.ok(other.get("etcd_server_proposals_applied_total")! >= 20);
    assert.equal(other.get("etcd_server_proposals_pending"), 0);
    assert.equal(other.get("etcd_debugging_mvcc_current_revision"), status.revision);
    assert.ok(other.get("etcd_debugging_mvcc_keys_total")! >= 20);
    assert.equal(other.get("etcd_debugging_mvcc_watcher_total"), 1);
    assert.equal(own.get("etcd_mvcc_db_total_size_in_bytes"), status.databaseBytes);
    for (const node of [own, other]) {
      assert.ok(node.get("etcd_disk_wal_fsync_duration_seconds_count")! > 0);
      assert.ok(node.get("etcd_disk_backend_commit_duration_seconds_count")! > 0);
      assert.ok(node.get("trivet_replica_log_bytes")! > 0);
      assert.ok(node.get("trivet_replica_thread_active_seconds_total")! > 0);
      assert.equal(
        node.get('etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"}'),
        node.get("etcd_disk_wal_fsync_duration_seconds_count"),
      );
    }
    const followerId = cluster.handle(follower).memberId;
    assert.ok(own.get(`etcd_network_peer_sent_bytes_total{To="${followerId}"}`)! > 20_000);
    assert.ok(own.get(`etcd_network_peer_received_bytes_total{From="${followerId}"}`)! > 20_000);
    assert.equal(other.get('trivet_replica_request_duration_seconds_count{method="transact"}'), 20);
    const name = `member="node${follower}",id="${followerId}"`;
    assert.equal(own.get(`trivet_replica_member_online{${name}}`), 1);
    assert.equal(own.get(`trivet_replica_member_lag_entries{${name}}`), 0);
    assert.equal(own.get(`trivet_replica_member_role{${name},role="voter"}`), 1);
    watch.cancel();
  });

  test("peers are asked for a round trip", async () => {
    const [first, second] = [cluster.handle(0), cluster.handle(1)];
    const name = `etcd_network_peer_round_trip_time_seconds_count{To="${second.memberId}"}`;
    await until(async () => (numbers(await first.metrics()).get(name) ?? 0) > 0, "a round trip");
  });

  test("a change of the leader is seen by all", async () => {
    const before = await cluster.leader();
    const [one] = [0, 1, 2].filter((at) => at !== before);
    await cluster.handle(before).transferLeadership(cluster.handle(one!).memberId);
    for (const handle of cluster.handles) {
      await until(
        async () => numbers(await handle.metrics()).get("etcd_server_leader_changes_seen_total") === 2,
        "the change",
      );
    }
  });

  test("every sample has its type, and no name comes twice", async () => {
    const text = await cluster.handle(0).metrics();
    const lines = text.trim().split("\n");
    const types = lines.filter((line) => line.startsWith("# TYPE ")).map((line) => line.split(" ")[2]!);
    assert.equal(new Set(types).size, types.length);
    for (const line of lines.filter((each) => !each.startsWith("#"))) {
      assert.match(line, /^[a-z_]+(\{[^}]*\})? -?(\d+(\.\d+)?(e-?\d+)?)$/);
      const family = line.split(/[{ ]/)[0]!.replace(/_(bucket|sum|count)$/, "");
      assert.ok(types.includes(family) || types.includes(line.split(/[{ ]/)[0]!), line);
    }
    const samples = lines
      .filter((each) => !each.startsWith("#"))
      .map((each) => each.slice(0, each.lastIndexOf(" ")));
    assert.equal(new Set(samples).size, samples.length);
  });
});

/** Value by name and labels. */
function numbers(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [
      line.slice(0, line.lastIndexOf(" ")),
      Number(line.slice(line.lastIndexOf(" ") + 1)),
    ]),
  );
}
