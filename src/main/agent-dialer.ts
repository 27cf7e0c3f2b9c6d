/** How the API server reaches agents: TLS with its own client certificate, to the node's address. */
import { connect } from "node:tls";
import type { AgentDialer } from "#api/options.ts";
import { StatusError } from "#base/errors.ts";

const connectTimeoutMs = 5_000;

/** `tls` is asked for each connection: certificates are renewed. */
export function tlsAgentDialer(tls: () => { ca: string; cert: string; key: string }): AgentDialer {
  return {
    dial({ name, address, port }) {
      return new Promise((resolve, reject) => {
        // Agents' certificates carry the node's name, so that an address alone can't pretend to be one.
        const socket = connect({
          host: address,
          port,
          servername: name,
          ALPNProtocols: ["http/1.1"],
          ...tls(),
        });
        const fail = (reason: string, cause?: unknown): void => {
          socket.destroy();
          const message = `error dialing backend: dial tcp ${address}:${port}: ${reason}`;
          reject(new StatusError("InternalError", message, { cause }));
        };
        const timer = setTimeout(() => fail("i/o timeout"), connectTimeoutMs);
        socket.once("error", (cause) => fail(cause.message, cause));
        socket.once("secureConnect", () => {
          clearTimeout(timer);
          socket.removeAllListeners("error");
          socket.setNoDelay(true);
          resolve({ socket, host: `${name}:${port}` });
        });
        socket.once("close", () => clearTimeout(timer));
      });
    },
  };
}
