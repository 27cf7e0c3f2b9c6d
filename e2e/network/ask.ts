/** Asks over UDP and prints the answer, or nothing if none comes in time. */
import { createSocket } from "node:dgram";

const socket = createSocket("udp4");
const timer = setTimeout(() => socket.close(), 1500);
socket.on("error", () => socket.close());
socket.once("message", (answer) => {
  process.stdout.write(answer);
  clearTimeout(timer);
  socket.close();
});
socket.connect(Number(process.argv[3]), process.argv[2], () => socket.send("hello"));
