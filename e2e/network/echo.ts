/** A pod's program: answers each TCP connection and UDP packet with its name and the client's address. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

const [name, port] = [process.argv[2]!, Number(process.argv[3])];
createServer((socket) => {
  socket.on("error", () => {});
  socket.end(`${name} ${socket.remoteAddress!.replace("::ffff:", "")}\n`);
}).listen(port, "0.0.0.0");
const udp = createSocket("udp4");
udp.on("message", (_message, client) => udp.send(`${name} ${client.address}\n`, client.port, client.address));
udp.bind(port);
