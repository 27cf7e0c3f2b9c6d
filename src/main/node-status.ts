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
): NodeStatus {
  const reason = notReadyReason(replica, node);
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
      members: replica.members.map(
        ({ name: member, id, address, apiAddress, role, online, lagEntries, failureDomain }) => ({
          name: member,
          id,
          address,
          apiAddress,
          role,
          online,
          lagEntries,
          failureDomain,
        }),
      ),
      decisions: replica.decisions.map(({ timeMs, text }) => ({
        time: new Date(timeMs).toISOString(),
        text,
      })),
    },
    addons,
  };
}

function notReadyReason(replica: ReplicaStatus, node: NodeObject | undefined): string {
  if (replica.trouble !== undefined) return replica.trouble;
  if (!replica.ready) return "the datastore has no leader: a majority of the voters is needed";
  const ready = node?.status?.conditions?.find((each) => each.type === "Ready");
  if (ready === undefined) return "the node has not registered yet";
  return ready.status === "True" ? "" : (ready.message ?? ready.reason ?? "the node is not Ready");
}
