import http2 from "node:http2";
import https from "node:https";
import { test } from "node:test";
import { createAuthority, issue } from "#cluster/certificates.ts";
import { listen } from "./listener.ts";

/** A body without end, larger than what any connection buffers. Resolves when nobody wants it any more. */
function endless(): { body: AsyncIterable<Uint8Array>; ended: Promise<void> } {
  let end!: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        yield new Uint8Array(256 * 1024);
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      end();
    }
  }
  return { body: chunks(), ended };
}

test("a streamed answer ends at its source when the client goes away", { timeout: 10_000 }, async (t) => {
  const authority = await createAuthority("test", 1);
  const { certificate, key } = await issue(authority, {
    commonName: "server",
    hosts: ["127.0.0.1"],
    usages: ["server"],
    validDays: 1,
  });
  const sources: Promise<void>[] = [];
  const listener = await listen(
    { host: "127.0.0.1", port: 0, cert: certificate, key, clientCa: authority.certificate },
    {
      handle() {
        const { body, ended } = endless();
        sources.push(ended);
        return Promise.resolve({ status: 200, headers: {}, body });
      },
      upgrade: (_request, _peer, socket) => void socket.destroy(),
    },
  );
  t.after(() => listener.close());
  const url = `https://127.0.0.1:${listener.address.port}`;

  const session = http2.connect(url, { ca: authority.certificate });
  t.after(() => session.destroy());
  const stream = session.request({ ":path": "/" });
  await new Promise((resolve) => stream.once("data", resolve));
  // Nothing is read from here on, so that the server waits for room.
  stream.pause();
  await new Promise((resolve) => setTimeout(resolve, 100));
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await sources[0];

  const request = https.get(url, { ca: authority.certificate });
  request.on("error", () => undefined);
  const response = await new Promise<NodeJS.ReadableStream>((resolve) => request.once("response", resolve));
  await new Promise((resolve) => response.once("data", resolve));
  response.pause();
  await new Promise((resolve) => setTimeout(resolve, 100));
  request.destroy();
  await sources[1];
});
