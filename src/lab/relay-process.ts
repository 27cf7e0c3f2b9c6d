/**
 * The user-space switch as a program: takes frames in VXLAN packets (RFC 7348) from the kernel's side of the
 * lab, one network identifier per port, and sends them on as `relay.ts` says. Faults come as one line of JSON
 * over a socket, and are answered once they are in force.
 *
 *     node relay-process.ts CONTROL-SOCKET ADDRESS KERNEL-ADDRESS PORT,PORT,...
 */
import { createSocket } from "node:dgram";
import { rmSync } from "node:fs";
import { createServer } from "node:net";

import { completeChecksum } from "./frame-checksum.ts";
import { Relay } from "./relay.ts";
import type { RelayFaults } from "./relay.ts";

const vxlanPort = 4789;
const headerBytes = 8;
const hasIdentifier = 0x08;
/** More would be under way than a real cable holds: the rest is lost, as with a full queue. */
const maxUnderWay = 20_000;

const [controlPath = "", address = "", kernelAddress = "", ports = ""] = process.argv.slice(2);
const relay = new Relay(ports.split(",").map(Number), Math.random);
const socket = createSocket({ type: "udp4", recvBufferSize: 8 << 20, sendBufferSize: 8 << 20 });
let underWay = 0;

socket.on("message", (packet) => {
  if (packet.length <= headerBytes || packet[0] !== hasIdentifier) return;
  const frame = packet.subarray(headerBytes);
  const deliveries = relay.receive(packet.readUIntBE(4, 3), frame);
  if (deliveries.length > 0) completeChecksum(frame);
  for (const { port, afterMs } of deliveries) {
    const copy = deliveries.length === 1 ? packet : Buffer.from(packet);
    copy.writeUIntBE(port, 4, 3);
    if (afterMs < 1) socket.send(copy, vxlanPort, kernelAddress);
    else if (underWay < maxUnderWay) {
      underWay++;
      setTimeout(() => {
        underWay--;
        socket.send(copy, vxlanPort, kernelAddress);
      }, afterMs);
    }
  }
});

rmSync(controlPath, { force: true });
const control = createServer((connection) => {
  let text = "";
  connection.setEncoding("utf8");
  connection.on("error", () => connection.destroy());
  connection.on("data", (chunk: string) => {
    text += chunk;
    if (!text.endsWith("\n")) return;
    relay.setFaults(JSON.parse(text) as RelayFaults);
    connection.end("ok\n");
  });
});
socket.bind(vxlanPort, address, () => control.listen(controlPath));
