/** Nodes that come back under other addresses (here: ports) are the same nodes. */

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { AddressBook } from "./address-book.ts";
import { TestCluster, until } from "../cluster.fixture.ts";
import { defaultTiming } from "../replica-config.ts";

const put = (key: string) => ({
  compare: [],
  success: [{ type: "put" as const, key, value: Buffer.from("x") }],
  failure: [],
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function recorded(cluster: TestCluster, at: number): Promise<string | undefined> {
  const { members, memberId } = await cluster.handle(at).status();
  return members.find(({ id }) => id === memberId)?.address;
}

test("one node moves: the others hear it from the node itself, and the records follow", async () => {
  const cluster = await TestCluster.start(3);
  try {
    const moving = ((await cluster.leader()) + 1) % 3;
    await cluster.handle(moving).stop();
    const port = await freePort();
    await cluster.restart(moving, { listen: { host: "127.0.0.1", port }, apiAddress: "127.0.0.1:5" });
    for (const at of [0, 1, 2]) {
      await until(
        async () =>
          (await cluster.handle(at).status()).members.some(
            ({ address, apiAddress }) => address === `127.0.0.1:${port}` && apiAddress === "127.0.0.1:5",
          ),
        `the record at node${at}`,
      );
    }
    await cluster.handle(moving).backend.transact(put("/moved"));
    // The leader tells who is online twice a second, over a connection that it may still be making.
    await cluster.until(
      ({ members }) => members.filter(({ online, role }) => online && role === "voter").length === 3,
      [moving],
    );
  } finally {
    await cluster.close();
  }
});

test("all nodes move at once: one that is told where the others are brings all together", async () => {
  const cluster = await TestCluster.start(3);
  try {
    await cluster.handle(0).backend.transact(put("/before"));
    const ids = cluster.handles.map(({ memberId }) => memberId);
    for (const handle of cluster.handles) await handle.kill();
    const ports = [await freePort(), await freePort(), await freePort()];
    for (const at of [0, 1, 2]) {
      const told = at === 0 ? { node1: `127.0.0.1:${ports[1]}`, node2: `127.0.0.1:${ports[2]}` } : undefined;
      await cluster.restart(at, {
        listen: { host: "127.0.0.1", port: ports[at] ?? 0 },
        ...(told === undefined ? {} : { peerAddresses: told }),
      });
    }
    await cluster.until(({ ready }) => ready);
    for (const at of [0, 1, 2]) {
      await until(
        async () => (await recorded(cluster, at)) === `127.0.0.1:${ports[at]}`,
        `the record of node${at}`,
      );
      await until(
        async () => (await cluster.handle(at).status()).members.every(({ online }) => online),
        `all online for node${at}`,
      );
      await cluster.handle(at).backend.transact(put(`/after${at}`));
    }
    assert.deepEqual(
      cluster.handles.map(({ memberId }) => memberId),
      ids,
      "nobody had to join again",
    );
  } finally {
    await cluster.close();
  }
});

test("all nodes move, and another than the one that was told leads: who can't reach the leader is helped by who can", async () => {
  const cluster = await TestCluster.start(3);
  try {
    // Only node1 will be a candidate: it must miss nothing that the others have, so it leads and is killed last.
    await cluster.lead(1);
    for (const at of [0, 2, 1]) await cluster.handle(at).kill();
    const ports = [await freePort(), await freePort(), await freePort()];
    for (const at of [1, 2, 0]) {
      const told = { node1: `127.0.0.1:${ports[1]}`, node2: `127.0.0.1:${ports[2]}` };
      await cluster.restart(at, {
        listen: { host: "127.0.0.1", port: ports[at] ?? 0 },
        ...(at === 1 ? {} : { timing: { ...defaultTiming, electionTicks: 5000 } }),
        ...(at === 0 ? { peerAddresses: told } : {}),
      });
    }
    for (const at of [0, 1, 2]) {
      await until(
        async () => (await recorded(cluster, at)) === `127.0.0.1:${ports[at]}`,
        `the record of node${at}`,
      );
    }
    assert.equal((await cluster.handle(0).status()).leaderId, cluster.handle(1).memberId);
  } finally {
    await cluster.close();
  }
});

test("an address that was told counts until the record is another", () => {
  const book = new AddressBook(new Map([["n1", "new:1"]]));
  const peer = { id: 1, name: "n1", address: "old:1" };
  assert.equal(book.current(peer), "new:1");
  assert.equal(book.current(peer), "new:1");
  assert.equal(book.current({ ...peer, address: "newer:1" }), "newer:1");
  assert.equal(book.current(peer), "old:1", "it is not remembered for ever");
  book.learn(peer, "heard:1");
  assert.equal(book.current(peer), "heard:1");
  assert.equal(book.current({ id: 2, name: "n2", address: "two:1" }), "two:1");
});
