/** Joins a client's upgraded connection with the runtime's streaming server, byte by byte. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { upgrade } from "./spdy-client.ts";

const forwarded = [
  "connection",
  "upgrade",
  "x-stream-protocol-version",
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-protocol",
  "sec-websocket-extensions",
];

/** Rejects, with nothing written, when the streaming server refuses. */
export async function passThrough(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  url: string,
): Promise<void> {
  const headers: Record<string, string[]> = {};
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index]!.toLowerCase();
    if (forwarded.includes(name)) (headers[name] ??= []).push(request.rawHeaders[index + 1]!);
  }
  const remote = await upgrade(url, headers, request.method ?? "POST");
  const lines = ["HTTP/1.1 101 Switching Protocols"];
  for (let index = 0; index < remote.rawHeaders.length; index += 2)
    lines.push(`${remote.rawHeaders[index]}: ${remote.rawHeaders[index + 1]}`);
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  if (remote.head.length > 0) socket.write(remote.head);
  if (head.length > 0) remote.socket.write(head);
  join(socket, remote.socket);
}

/** Pipes both ways; when one side is gone the other goes too. */
export function join(left: Duplex, right: Duplex): void {
  left.on("error", () => right.destroy());
  right.on("error", () => left.destroy());
  left.on("close", () => right.destroy());
  right.on("close", () => left.destroy());
  left.pipe(right);
  right.pipe(left);
}
