/** etcd's Cluster service: who is a member. Trivet makes and replaces members itself, so nothing else is served. */
import type * as grpc from "@grpc/grpc-js";
import type { Backend, MemberStatus } from "#base/backend.ts";
import { wireId } from "./messages.ts";
import { unary, unserved } from "./rpc-errors.ts";
import type { StatusMemory } from "./status-memory.ts";

export function clusterService(
  backend: Backend,
  status: StatusMemory,
  clientUrls: (member: MemberStatus) => string[],
): grpc.UntypedServiceImplementation {
  const managed = unserved(
    'members are managed by Trivet itself: see "trivet add-node" and "trivet remove-node"',
  );
  return {
    MemberList: unary(async () => {
      const seen = await backend.status();
      return {
        header: await status.header(seen.revision),
        members: seen.members.map((each) => ({
          ID: wireId(each.id),
          name: each.name,
          peerURLs: each.address === "" ? [] : [`https://${each.address}`],
          clientURLs: clientUrls(each),
          isLearner: each.role !== "voter",
        })),
      };
    }),
    MemberAdd: managed,
    MemberRemove: managed,
    MemberUpdate: managed,
    MemberPromote: managed,
  };
}
