/**
 * exec and attach for WebSocket clients: the channels of v4 and v5.channel.k8s.io on one side, SPDY
 * streams of the runtime on the other. v5 adds the half-close of standard input.
 */
import type { WebSocket } from "ws";
import { connectSpdy } from "./spdy-client.ts";
import type { SpdyConnection, SpdyStream } from "./spdy-client.ts";

export const remoteCommandProtocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

export interface StreamSelection {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 };
const bufferLimitBytes = 1024 * 1024;

/** Opens the runtime's side. Rejects when the runtime refuses, before the client is answered. */
export function openRemoteCommand(url: string): Promise<SpdyConnection> {
  return connectSpdy(url, "v4.channel.k8s.io");
}

/** Carries the session until the command ends or the client goes. */
export function bridge(socket: WebSocket, connection: SpdyConnection, selected: StreamSelection): void {
  const open = (name: string) => connection.open({ streamType: name });
  // The runtime expects the error stream first.
  const error = open("error");
  const stdin = selected.stdin ? open("stdin") : undefined;
  const outputs: SpdyStream[] = [error];
  forward(socket, connection, error, channels.error);
  for (const name of ["stdout", "stderr"] as const) {
    // With a terminal there is one output only.
    if (!selected[name] || (name === "stderr" && selected.tty)) continue;
    const stream = open(name);
    forward(socket, connection, stream, channels[name]);
    outputs.push(stream);
  }
  const resize = selected.tty ? open("resize") : undefined;
  let live = outputs.length;
  for (const stream of outputs)
    stream.onEnd = () => {
      live--;
      if (live > 0) return;
      socket.close(1000);
      connection.close();
    };
  socket.on("message", (message: Buffer) => {
    const channel = message[0];
    const data = message.subarray(1);
    if (channel === channels.close) {
      if (data[0] === channels.stdin) stdin?.end();
      return;
    }
    const target = channel === channels.stdin ? stdin : channel === channels.resize ? resize : undefined;
    if (target && data.length > 0 && !target.write(data)) socket.pause();
  });
  connection.onDrain = () => socket.resume();
  connection.onClose = () => socket.close(1000);
  socket.on("close", () => connection.close());
  socket.on("error", () => connection.close());
}

function forward(socket: WebSocket, connection: SpdyConnection, stream: SpdyStream, channel: number): void {
  stream.onData = (data) => {
    socket.send(Buffer.concat([Buffer.from([channel]), data]), () => {
      if (socket.bufferedAmount < bufferLimitBytes) connection.resume();
    });
    if (socket.bufferedAmount >= bufferLimitBytes) connection.pause();
  };
}
