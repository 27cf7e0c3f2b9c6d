/**
 * A process of the benchmarks: one replica as a node runs it (in a thread of its own), its etcd API, and a client
 * beside it that does what it is told over the channel to the parent.
 */
import type { Logger } from "#base/ports.ts";
import { startEtcdApi } from "#etcd/server.ts";
import { startReplica } from "#replica/start-replica.ts";
import type { ReplicaHandle, ReplicaOptions } from "#replica/types.ts";
import { backendClient } from "./client.ts";
import type { Credentials } from "./grpc-channel.ts";
import { runTask } from "./tasks.ts";
import type { TaskArgument, TaskName } from "./tasks.ts";

export interface MemberSettings {
  dataDir: string;
  peerPort: number;
  /** Undefined: without the etcd API. */
  apiPort?: number;
  credentials: Credentials;
  mode: ReplicaOptions["mode"];
}

export type Order =
  | { type: "start"; settings: MemberSettings }
  | { type: "add"; name: string; address: string }
  | { type: "status" }
  /** A linearizable read. */
  | { type: "read" }
  | { type: "run"; task: TaskName; argument: TaskArgument<TaskName> };

export type Envelope = Order & { id: number };
export type Answer = { id: number; value: unknown } | { id: number; error: string };

const silent = () => undefined;
const complain = (message: string, fields?: Record<string, unknown>) =>
  console.error(message, fields === undefined ? "" : JSON.stringify(fields));
const logger: Logger = { debug: silent, info: silent, warn: silent, error: complain };
let replica: ReplicaHandle | undefined;

process.on("message", (order: Envelope) => {
  const { id } = order;
  void carryOut(order).then(
    (value) => process.send?.({ id, value } satisfies Answer),
    (error: Error) => process.send?.({ id, error: error.message } satisfies Answer),
  );
});
process.on("disconnect", () => process.exit(0));
process.once("SIGTERM", () => {
  void replica?.stop().then(() => process.exit(0));
});

async function carryOut(order: Order): Promise<unknown> {
  if (order.type === "start") return start(order.settings);
  if (replica === undefined) throw new Error("the member has not been started");
  switch (order.type) {
    case "add":
      return replica.addMember({
        name: order.name,
        address: order.address,
        apiAddress: "",
        failureDomain: "",
      });
    case "status":
      return replica.status();
    case "read":
      return replica.backend.readRevision();
    case "run":
      return runTask(backendClient(replica.backend), order.task, order.argument);
  }
}

async function start({ dataDir, peerPort, apiPort, credentials, mode }: MemberSettings): Promise<void> {
  const { authority, certificate, key } = credentials;
  const tls = { ca: authority, cert: certificate, key };
  const opened = await startReplica({
    dataDir,
    listen: { host: "127.0.0.1", port: peerPort },
    tls,
    mode,
    logger,
    onFatal(error) {
      console.error(error);
      process.exit(70);
    },
  });
  replica = opened;
  if (apiPort === undefined) return;
  await startEtcdApi({
    backend: opened.backend,
    host: "127.0.0.1",
    port: apiPort,
    tls,
    maintenance: {
      transferLeadership: (id) => opened.transferLeadership(id),
      async *backup() {
        yield* (await opened.backup(false)).chunks;
      },
    },
    logger,
  });
}
