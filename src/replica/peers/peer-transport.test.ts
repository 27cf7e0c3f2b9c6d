/** Peers over real TLS: who is let in, what is noticed. */

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { FatalError } from "#base/errors.ts";
import { makePeerAuthority, makePeerTls } from "./certificates.fixture.ts";
import { testLogger, until } from "../cluster.fixture.ts";
import { TlsTransport } from "./peer-transport.ts";
import type { PeerTls } from "../types.ts";

const logger = testLogger("transport");
let tls: PeerTls;
before(async () => {
  tls = await makePeerTls();
});

interface Side {
  transport: TlsTransport;
  frames: { from: number; text: string }[];
  unreachable: number[];
  address: string;
}

const open: TlsTransport[] = [];
after(async () => {
  await Promise.all(open.map((transport) => transport.close()));
});

async function listen(id: number, more: { tls?: PeerTls; clusterId?: string } = {}): Promise<Side> {
  const transport = await TlsTransport.listen({
    id,
    clusterId: "c",
    listen: { host: "127.0.0.1", port: 0 },
    tls,
    logger,
    ...more,
  });
  open.push(transport);
  const side: Side = { transport, frames: [], unreachable: [], address: `127.0.0.1:${transport.port}` };
  transport.start({
    onFrame: (from, frame, reply) => {
      const text = Buffer.from(frame).toString("latin1");
      side.frames.push({ from, text: text.length > 100 ? `${text.length}` : text });
      if (text.startsWith("question")) reply(Buffer.from("answer"));
    },
    onUnreachable: (peer) => side.unreachable.push(peer),
  });
  return side;
}

const send = (side: Side, to: number, text: string, channel: "raft" | "bulk" = "raft") =>
  side.transport.send(to, channel, Buffer.from(text));

describe("TlsTransport", () => {
  test("frames arrive in order, whole, on both channels; answers come back over the same connection", async () => {
    const a = await listen(1);
    const b = await listen(2);
    a.transport.setPeers([{ id: 2, address: b.address }]);
    await until(async () => send(a, 2, "first"), "the connection");
    for (let at = 0; at < 100; at++) assert.ok(send(a, 2, `m${at}`));
    assert.ok(send(a, 2, "x".repeat(3_000_000)));
    await until(async () => send(a, 2, "question", "bulk"), "the bulk connection");
    await until(async () => b.frames.some(({ text }) => text === "3000000"), "the large frame");
    await until(async () => a.frames.some(({ text }) => text === "answer"), "the answer");
    const small = b.frames.map(({ text }) => text).filter((text) => text.startsWith("m"));
    assert.deepEqual(
      small,
      Array.from({ length: 100 }, (_, at) => `m${at}`),
    );
    assert.ok(b.frames.every(({ from }) => from === 1));
    assert.equal(send(b, 1, "nobody told b of a"), false);
  });

  test("a lost peer is reported, and found again when it is back", async () => {
    const a = await listen(1);
    const b = await listen(2);
    const { port } = b.transport;
    a.transport.setPeers([{ id: 2, address: b.address }]);
    await until(async () => send(a, 2, "hello"), "the connection");
    await b.transport.close();
    await until(async () => a.unreachable.includes(2), "the loss");
    assert.equal(send(a, 2, "gone"), false);
    const again = await TlsTransport.listen({
      id: 2,
      clusterId: "c",
      listen: { host: "127.0.0.1", port },
      tls,
      logger,
    });
    open.push(again);
    again.start({ onFrame: () => undefined, onUnreachable: () => undefined });
    await until(async () => send(a, 2, "back"), "the new connection");
  });

  for (const [title, id, more] of [
    ["a node with another id behind the address", 3, {}],
    ["a node of another cluster", 2, { clusterId: "other" }],
  ] as const) {
    test(`${title} gets nothing`, async () => {
      const a = await listen(1);
      const wrong = await listen(id, more);
      a.transport.setPeers([{ id: 2, address: wrong.address }]);
      await until(async () => a.unreachable.length >= 2, "two refusals");
      assert.equal(send(a, 2, "secret"), false);
      assert.deepEqual(wrong.frames, []);
    });
  }

  test("a member that greets as another is refused, on either side", async () => {
    const issue = await makePeerAuthority();
    const a = await listen(1, { tls: await issue("node1") });
    const impostor = await listen(2, { tls: await issue("node3") });
    const genuine = await listen(4, { tls: await issue("node4") });
    a.transport.setPeers([
      { id: 2, address: impostor.address, name: "node2" },
      { id: 4, address: genuine.address, name: "node4" },
    ]);
    impostor.transport.setPeers([{ id: 1, address: a.address, name: "node1" }]);
    genuine.transport.setPeers([{ id: 1, address: a.address, name: "node1" }]);
    await until(
      async () => send(a, 4, "hello") && send(genuine, 1, "hello"),
      "the genuine one's connections",
    );
    await until(async () => a.unreachable.length >= 2 && impostor.unreachable.length >= 2, "refusals");
    assert.equal(send(a, 2, "secret"), false);
    assert.ok(a.frames.every(({ from }) => from === 4));
    assert.deepEqual(impostor.frames, []);
  });

  test("a certificate of another authority is refused, on either side", async () => {
    const stranger = await listen(2, { tls: await makePeerTls() });
    const a = await listen(1);
    a.transport.setPeers([{ id: 2, address: stranger.address }]);
    stranger.transport.setPeers([{ id: 1, address: a.address }]);
    await until(async () => a.unreachable.length >= 2 && stranger.unreachable.length >= 2, "refusals");
    assert.deepEqual([a.frames, stranger.frames], [[], []]);
  });

  test("a listener that takes connections and says nothing does not hold anybody up", async () => {
    const mute = createServer(() => undefined);
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
    const address = mute.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const a = await listen(1);
    a.transport.setPeers([{ id: 2, address: `127.0.0.1:${port}` }]);
    const started = performance.now();
    await until(async () => a.unreachable.length > 0, "giving up");
    assert.ok(performance.now() - started < 6000);
    await a.transport.close();
    mute.close();
  });

  test("a taken port is a clear error", async () => {
    const a = await listen(1);
    const taken = TlsTransport.listen({
      id: 9,
      clusterId: "c",
      listen: { host: "127.0.0.1", port: a.transport.port },
      tls,
      logger,
    });
    await assert.rejects(taken, (error) => error instanceof FatalError && error.kind === "portTaken");
  });
});
