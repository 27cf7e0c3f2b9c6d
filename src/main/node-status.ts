/** Composes what `trivet status` shows from the replica's status and the node's own Node object. */
import type { NodeStatus } from "#cli/status.ts";
import type { ReplicaStatus } from "#replica/types.ts";
import type { KubeObject } from "#kinds/object.ts";

interface NodeObject extends KubeObject {
  status?: { conditions?: { type: string; status: string; reason?: string; message?: string }[] };
}

export function composeStatus(
  name: string,
  version: string,
  replica: ReplicaStatus,
  node: NodeObject | undefined,
  addons: NodeStatus["addons"],
  etcdApi: string | undefined,
): NodeStatus {
  const status = describe(name, version, replica, notReadyReason(replica, node), addons);
  return etcdApi === undefined ? status : { ...status, etcdApi };
}

/** A witness has no Node object: its replica is all of it. */
export function composeWitnessStatus(name: string, version: string, replica: ReplicaStatus): NodeStatus {
  return describe(name, version, replica, replicaReason(replica), { enabled: [], disabled: [] });
}

function describe(
  name: string,
  version: string,
  replica: ReplicaStatus,
  reason: string,
  addons: NodeStatus["addons"],
): NodeStatus {
  return {
    ready: reason === "",
    node: name,
    version,
    reason,
    highAvailability: {
      enabled: replica.highlyAvailable,
      leader: replica.members.find((each) => each.isLeader)?.name ?? "",
      term: replica.term,
      revision: replica.revision,
      failuresToQuorumLoss: replica.failuresToQuorumLoss,
      ...(replica.external === undefined ? {} : { external: replica.external }),
      members: replica.members.map(
        ({ name: member, id, address, apiAddress, role, online, lagEntries, failureDomain, witness }) => ({
          name: member,
          id,
          address,
          apiAddress,
          role,
          online,
          lagEntries,
          failureDomain,
          witness,
        }),
      ),
      voterTarget: replica.voterTarget,
      decisions: replica.decisions.map(({ timeMs, reason, text }) => ({
        time: new Date(timeMs).toISOString(),
        ...(reason === undefined ? {} : { reason }),
        text,
      })),
    },
    addons,
  };
}

function notReadyReason(replica: ReplicaStatus, node: NodeObject | undefined): string {
  const reason = replicaReason(replica);
  if (reason !== "") return reason;
  const ready = node?.status?.conditions?.find((each) => each.type === "Ready");
  if (ready === undefined) return "the node has not registered yet";
  return ready.status === "True" ? "" : (ready.message ?? ready.reason ?? "the node is not Ready");
}

function replicaReason(replica: ReplicaStatus): string {
  if (replica.trouble !== undefined) return replica.trouble;
  return replica.ready ? "" : "the datastore has no leader: a majority of the voters is needed";
}
