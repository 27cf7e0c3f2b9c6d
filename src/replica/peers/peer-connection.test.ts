/** A peer that takes nothing: what waits for it is bounded, and it is hung up on in the end. */

import assert from "node:assert/strict";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import { until } from "../cluster.fixture.ts";
import { PeerConnection } from "./peer-connection.ts";

test("frames for a peer that does not read are dropped beyond 32 MiB, and the connection ends", async () => {
  const accepted: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => void accepted.push(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const reasons: string[] = [];
  const connection = new PeerConnection(socket as TLSSocket, {
    onGreeting: () => undefined,
    onFrame: () => undefined,
    onClose: (reason) => reasons.push(reason),
  });
  try {
    await until(async () => accepted.length === 1, "the connection");
    const frame = new Uint8Array(1 << 20);
    let most = 0;
    let refused = 0;
    for (let at = 0; at < 100; at++) {
      if (!connection.send(frame)) refused++;
      most = Math.max(most, socket.writableLength);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(refused >= 50, `${refused} of 100 refused`);
    assert.ok(most <= 34 << 20, `${most} bytes waited`);
    await until(async () => reasons.length > 0, "the end of the connection");
    assert.deepEqual(reasons, ["the peer has fallen silent"]);
    assert.equal(connection.send(frame), false);
  } finally {
    connection.close("the test ends");
    for (const each of accepted) each.destroy();
    server.close();
  }
});
