/**
 * One node of the drills: the datastore alone, as a node runs it (a thread of its own, real disk, real peers),
 * and a port over which the clients of `drills.ts` use it. Prints a line of JSON when it serves.
 *
 *     node scripts/drill-node.ts SETTINGS.json
 */
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { Logger } from "#base/ports.ts";
import { BackendServer } from "#replica/session/backend-server.ts";
import { startReplica } from "#replica/start-replica.ts";
import type { JoinGrant, MemberRecord, PeerTls, ReplicaHandle } from "#replica/types.ts";
import { FramedSocket } from "./drills/framed-socket.ts";
import type { Control } from "./drills/framed-socket.ts";

/** What a node is told in its file. */
export interface NodeSettings {
  name: string;
  address: string;
  peerPort: number;
  clientPort: number;
  dataDir: string;
  tls: PeerTls;
  /** Undefined: the first node of the cluster. */
  grant?: JoinGrant;
}

const settings = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as NodeSettings;
const { name, address, peerPort, clientPort, dataDir, tls, grant } = settings;
const line = (level: string) => (message: string, fields?: Record<string, unknown>) =>
  console.log(JSON.stringify({ time: new Date().toISOString(), level, message, ...fields }));
const logger: Logger = {
  debug: () => undefined,
  info: line("info"),
  warn: line("warn"),
  error: line("error"),
};

const replica = await startReplica({
  dataDir,
  listen: { host: "0.0.0.0", port: peerPort },
  advertise: `${address}:${peerPort}`,
  tls,
  mode: existsSync(`${dataDir}/replica.json`)
    ? { type: "restart" }
    : grant === undefined
      ? { type: "bootstrap", member: { name, apiAddress: "", failureDomain: "" } }
      : { type: "join", grant },
  logger,
  historyMs: 120_000,
  onFatal(error) {
    logger.error("the replica has died", { error: error.stack ?? error.message });
    process.exit(70);
  },
});

const server = createServer((socket) => {
  const framed = new FramedSocket(socket, {
    onSession: (body) => backend.receive(body),
    onControl: (control) => void answer(replica, control, framed),
    onClose: () => backend.close(),
  });
  const backend = new BackendServer(replica.backend, {
    send: (body) => framed.sendSession(body),
    later: (flush) => process.nextTick(flush),
  });
});
server.listen(clientPort, "0.0.0.0", () => logger.info("serving", { pid: process.pid }));

process.once("SIGTERM", () => {
  void replica.stop().then(() => {
    logger.info("stopped");
    process.exit(0);
  });
});

async function answer(node: ReplicaHandle, control: Control, framed: FramedSocket): Promise<void> {
  const { id, method, argument } = control;
  try {
    const result =
      method === "status"
        ? await node.status()
        : method === "addMember"
          ? await node.addMember(argument as Omit<MemberRecord, "id" | "witness">)
          : undefined;
    framed.sendControl({ id, method, result });
  } catch (error) {
    framed.sendControl({ id, method, error: String(error) });
  }
}
