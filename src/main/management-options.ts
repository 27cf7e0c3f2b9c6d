/** What the management API of a node does its work with: the replica, the Node objects, the add-ons. */
import type { AddonHost } from "#addons/host.ts";
import { StatusError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import { version } from "#base/version.ts";
import { systemClock } from "#client/system-clock.ts";
import type { ApiClient, ResourceName } from "#client/types.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import type { ManagementOptions } from "#cluster/management.ts";
import type { NodePki } from "#cluster/pki.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { ReplicaHandle } from "#replica/types.ts";
import { addonNames } from "./addons.ts";
import { etcdEndpoint } from "./etcd-api.ts";
import { expiryWarnings } from "./expiry.ts";
import { composeStatus } from "./node-status.ts";

const nodes: ResourceName = { group: "", version: "v1", plural: "nodes" };
const nodeAnswerMs = 3_000;

/** What management needs and what exists only once the API serves. */
export interface ServingNode {
  client?: ApiClient;
  addons?: AddonHost;
}

export function managementOptions(
  identity: NodeIdentity,
  pki: NodePki,
  replica: ReplicaHandle,
  serving: ServingNode,
  logger: Logger,
): ManagementOptions {
  const started = (): ApiClient => {
    const found = serving.client;
    if (found === undefined) throw new StatusError("ServiceUnavailable", "the API server is starting");
    return found;
  };
  const getNode = async (name: string): Promise<KubeObject | undefined> => {
    try {
      return await started().get<KubeObject>(nodes, undefined, name);
    } catch (error) {
      if (error instanceof StatusError && error.reason === "NotFound") return undefined;
      throw error;
    }
  };
  return {
    backend: replica.backend,
    authorities: pki.authorities,
    settings: identity.settings,
    version,
    nowMs: () => systemClock.nowMs(),
    membership: {
      members: async () => (await replica.status()).members,
      add: (member) => replica.addMember(member),
      remove: (id) => replica.removeMember(id),
      setVoters: (voters) => replica.setVoters(voters),
    },
    drill: {
      status: () => replica.status(),
      outage: (durationMs) => replica.outage(durationMs),
      transferLeadership: () => replica.transferLeadership(),
      logError: (message, error) => logger.error(message, { error: String(error) }),
    },
    nodes: {
      exists: async (name) => (await getNode(name)) !== undefined,
      remove: async (name) => {
        if ((await getNode(name)) !== undefined) await started().delete(nodes, undefined, name);
      },
      apiEndpoints: async () => {
        const { members, memberId } = await replica.status();
        const own = members.filter((each) => each.id === memberId);
        const others = members.filter((each) => each.id !== memberId && each.online);
        return [...own, ...others].map((each) => each.apiAddress).filter((each) => each !== "");
      },
    },
    status: async () => {
      const seen = await replica.status();
      return {
        ...composeStatus(
          identity.name,
          version,
          seen,
          // Without a datastore that answers, the question for the Node would only make the answer late.
          seen.ready ? await within(nodeAnswerMs, getNode(identity.name)) : undefined,
          addonNames(serving.addons),
          etcdEndpoint(identity),
        ),
        ...expiryWarnings(endingAuthorities(pki), systemClock.nowMs()),
      };
    },
  };
}

function endingAuthorities({ authorities }: NodePki): Parameters<typeof expiryWarnings>[0] {
  const advice =
    "all certificates of the cluster end with it, and it can't be replaced in a running cluster: make a new cluster in time";
  return {
    "the authority of the API": { certificate: authorities.cluster.certificate, advice },
    "the authority of the datastore": { certificate: authorities.peer.certificate, advice },
  };
}

/** Undefined where the answer fails or takes longer. */
function within<T>(limitMs: number, answer: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, limitMs, undefined);
    void answer
      .catch(() => undefined)
      .then((value) => {
        clearTimeout(timer);
        resolve(value);
      });
  });
}
