/** WebSocket framing by hand, for a protocol name that the libraries refuse. */
import { Duplex } from "node:stream";

/** The bytes within binary messages, with a mask of zeros. */
export function webSocketFrames(socket: Duplex, head: Buffer): Duplex {
  let pending = head;
  const duplex = new Duplex({
    read() {},
    write(data: Buffer, _encoding, done) {
      const length = data.length < 126 ? [0x80 | data.length] : [0xfe, data.length >> 8, data.length & 255];
      socket.write(Buffer.concat([Buffer.from([0x82, ...length, 0, 0, 0, 0]), data]), done);
    },
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  const receive = (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      const short = (pending[1] ?? 0) & 0x7f;
      const start = short === 126 ? 4 : 2;
      const size = short === 126 && pending.length >= 4 ? pending.readUInt16BE(2) : short;
      if (pending.length < start + size || pending.length < 2) return;
      if (pending[0] === 0x82) duplex.push(pending.subarray(start, start + size));
      pending = pending.subarray(start + size);
    }
  };
  socket.on("data", receive);
  socket.on("close", () => duplex.push(null));
  receive(Buffer.alloc(0));
  return duplex;
}
