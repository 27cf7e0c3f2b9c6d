/** `trivet up` on a node that exists: which of its flags say something else than what the node was made with. Pure. */
import type { ClusterSettings, NodeIdentity } from "#cluster/identity.ts";
import type { NewNode } from "#cluster/join.ts";
import { mayCorrect } from "./datastore.ts";

interface GivenFlags {
  name?: string;
  address?: string;
  failureDomain?: string;
  apiPort?: string;
  peerPort?: string;
  agentPort?: string;
  clusterCidr?: string;
  serviceCidr?: string;
  voters: string;
}

const defaultVoters = "3";

/** One line for each flag that is not taken, with what to do instead. */
export function notTaken(
  present: NodeIdentity,
  node: NewNode,
  settings: ClusterSettings,
  given: GivenFlags,
): string[] {
  const { ports } = present;
  const kept: [
    flag: string,
    given: string | undefined,
    is: string | number,
    wanted: string | number,
    instead?: string,
  ][] = [
    ["--name", given.name, present.name, node.name],
    ["--address", given.address, present.address, node.address, 'use "trivet restart --address"'],
    ["--failure-domain", given.failureDomain, present.failureDomain, node.failureDomain],
    ["--api-port", given.apiPort, ports.api, node.ports.api],
    ["--peer-port", given.peerPort, ports.peer, node.ports.peer],
    ["--agent-port", given.agentPort, ports.agent, node.ports.agent],
    ["--cluster-cidr", given.clusterCidr, present.settings.clusterCidr, settings.clusterCidr],
    ["--service-cidr", given.serviceCidr, present.settings.serviceCidr, settings.serviceCidr],
  ];
  const lines = kept
    .filter(([, flag, is, wanted]) => flag !== undefined && is !== wanted)
    .map(
      ([flag, , is, , instead = "only a new node takes another"]) =>
        `${flag}: this node keeps ${is === "" ? "none" : is}; ${instead}`,
    );
  const voters = present.settings.voters ?? Number(defaultVoters);
  if (given.voters !== defaultVoters && settings.voters !== voters)
    lines.push(`--voters: the cluster exists; use "trivet voters ${settings.voters}"`);
  const { datastore } = settings;
  if (datastore !== undefined && !mayCorrect(present) && !isSame(datastore, present.settings.datastore))
    lines.push("--datastore: the cluster keeps the datastore that it was made with");
  return lines;
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
