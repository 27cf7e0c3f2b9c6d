/**
 * The sockets: DNS over UDP and TCP on one address. Hands each message to a handler and sends what comes
 * back; a message that gets `undefined` gets no answer.
 */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import type { Socket } from "node:net";

/** The handler is told how large its answer may be and must never reject. */
export type MessageHandler = (message: Buffer, transport: "udp" | "tcp") => Promise<Buffer | undefined>;

const connectionsMax = 256;
/** RFC 7766, section 6.2.3: the server may close what is idle. */
const idleTimeoutMs = 10_000;

export async function listen(
  address: string,
  port: number,
  handle: MessageHandler,
): Promise<{ close(): Promise<void> }> {
  const udp = createSocket({ type: address.includes(":") ? "udp6" : "udp4" });
  udp.on("message", (message, client) => {
    void handle(message, "udp").then((answer) => {
      // An answer that can't be sent is as good as lost on the way; the asker asks again.
      if (answer !== undefined) udp.send(answer, client.port, client.address, () => {});
    });
  });
  const connections = new Set<Socket>();
  const tcp = createServer((socket) => {
    if (connections.size >= connectionsMax) return void socket.destroy();
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    serveConnection(socket, handle);
  });
  await new Promise<void>((resolve, reject) => {
    udp.once("error", reject);
    udp.bind(port, address, () => {
      udp.off("error", reject);
      udp.on("error", () => {});
      resolve();
    });
  });
  try {
    await new Promise<void>((resolve, reject) => {
      tcp.once("error", reject);
      tcp.listen(udp.address().port, address, () => {
        tcp.off("error", reject);
        resolve();
      });
    });
  } catch (error) {
    udp.close();
    throw error;
  }
  return {
    async close() {
      for (const socket of connections) socket.destroy();
      await Promise.all([
        new Promise<void>((resolve) => udp.close(() => resolve())),
        new Promise<void>((resolve) => tcp.close(() => resolve())),
      ]);
    },
  };
}

function serveConnection(socket: Socket, handle: MessageHandler): void {
  let received = Buffer.alloc(0);
  socket.setTimeout(idleTimeoutMs, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const message = received.subarray(2, 2 + received.readUInt16BE(0));
      received = received.subarray(2 + message.length);
      void handle(message, "tcp").then((answer) => {
        if (answer === undefined) return void socket.destroy();
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        if (socket.writable) socket.write(Buffer.concat([length, answer]));
      });
    }
  });
}
