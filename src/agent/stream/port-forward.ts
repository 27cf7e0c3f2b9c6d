/** Port-forward for kubectl's WebSocket tunnel: the messages carry SPDY, which the runtime understands. */
import type { Socket } from "node:net";
import type { WebSocket } from "ws";
import { upgrade } from "./spdy-client.ts";

export const tunnelProtocol = "SPDY/3.1+portforward.k8s.io";

const bufferLimitBytes = 1024 * 1024;

export function openPortForward(url: string): Promise<{ socket: Socket; head: Buffer }> {
  return upgrade(url, {
    connection: "Upgrade",
    upgrade: "SPDY/3.1",
    "x-stream-protocol-version": "portforward.k8s.io",
  });
}

/** Carries the tunnel until one side ends. */
export function tunnel(client: WebSocket, runtime: Socket, head: Buffer): void {
  if (head.length > 0) client.send(head);
  client.on("message", (message: Buffer) => {
    if (!runtime.write(message)) client.pause();
  });
  runtime.on("drain", () => client.resume());
  runtime.on("data", (chunk: Buffer) => {
    client.send(chunk, () => {
      if (client.bufferedAmount < bufferLimitBytes) runtime.resume();
    });
    if (client.bufferedAmount >= bufferLimitBytes) runtime.pause();
  });
  runtime.on("close", () => client.close(1000));
  runtime.on("error", () => client.close(1011));
  client.on("close", () => runtime.destroy());
  client.on("error", () => runtime.destroy());
}
