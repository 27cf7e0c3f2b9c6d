/**
 * Upgraded connections: authenticated and authorized as any request, then joined to the agent of the
 * pod's node. A refusal is answered as HTTP on the same socket.
 */
import type { Socket } from "node:net";
import { StatusError } from "#base/errors.ts";
import type { HttpRequest } from "#base/http.ts";
import type { ApiCore } from "../api-core.ts";
import type { Peer } from "../auth/authenticate.ts";
import type { Dispatcher } from "../dispatcher.ts";
import { internalError } from "../status.ts";
import { checkSessionMethod, sessionTarget } from "../subresources/node-agent.ts";
import type { AgentProxy } from "../subresources/node-agent.ts";

export async function serveUpgrade(
  options: { core: ApiCore; dispatcher: Dispatcher; agents: AgentProxy },
  request: HttpRequest,
  peer: Peer,
  client: { socket: Socket; head: Buffer },
): Promise<void> {
  const { core, dispatcher, agents } = options;
  try {
    const admitted = await dispatcher.admitRequest(request, peer);
    checkSessionMethod(request.method);
    const { info } = admitted;
    const { nodeName, target } = await sessionTarget(core, admitted, info.resource, info.subresource);
    await agents.join(core, nodeName, request, target, client);
  } catch (error) {
    const status = error instanceof StatusError ? error : internalError(error);
    const body = JSON.stringify(status.toStatus());
    const head = [
      `HTTP/1.1 ${status.code} ${status.reason === "" ? "Error" : status.reason}`,
      "content-type: application/json",
      `content-length: ${Buffer.byteLength(body)}`,
      "connection: close",
    ];
    client.socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  }
}
