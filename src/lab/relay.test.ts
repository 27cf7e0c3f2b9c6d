import assert from "node:assert/strict";
import { test } from "node:test";

import { completeChecksum } from "./frame-checksum.ts";
import { Relay } from "./relay.ts";
import { compileUserFaults } from "./user-switch.ts";

const broadcast = "ffffffffffff";
const first = "021a0a42000b";
const second = "021a0a42000c";

function frame(to: string, from: string): Buffer {
  return Buffer.from(`${to}${from}0800`, "hex");
}

test("what is not known goes everywhere, what is known to its port alone, and nothing back", () => {
  const relay = new Relay([1, 2, 3], () => 0.5);
  assert.deepEqual(
    relay.receive(1, frame(broadcast, first)).map(({ port }) => port),
    [2, 3],
  );
  assert.deepEqual(relay.receive(2, frame(first, second)), [{ port: 1, afterMs: 0 }]);
  assert.deepEqual(relay.receive(1, frame(second, first)), [{ port: 2, afterMs: 0 }]);
  assert.deepEqual(relay.receive(1, frame(first, first)), [], "it is there already");
  assert.deepEqual(relay.receive(9, frame(broadcast, second)), [], "no such port");
  assert.deepEqual(relay.receive(1, Buffer.from("0102", "hex")), [], "no frame");
});

test("cuts have a direction", () => {
  const relay = new Relay([1, 2], () => 0.5);
  relay.setFaults({ cuts: [[1, 2]], loss: {}, delay: {} });
  assert.deepEqual(relay.receive(1, frame(broadcast, first)), []);
  assert.deepEqual(relay.receive(2, frame(broadcast, second)), [{ port: 1, afterMs: 0 }]);
});

test("loss, delay, jitter and duplicates follow the dice", () => {
  let next = 0;
  const dice = [0.29, 0.31, 0.5, 0.04, 0.25, 0.31, 0, 0.06];
  const relay = new Relay([1, 2], () => dice[next++] ?? 0);
  const delay = { 1: { ms: 100, jitterMs: 20, duplicatePercent: 5 } };
  relay.setFaults({ cuts: [], loss: { 1: 30 }, delay });
  assert.deepEqual(relay.receive(1, frame(second, first)), []);
  assert.deepEqual(relay.receive(1, frame(second, first)), [
    { port: 2, afterMs: 110 },
    { port: 2, afterMs: 105 },
  ]);
  assert.deepEqual(relay.receive(1, frame(second, first)), [{ port: 2, afterMs: 100 }]);
});

test("faults go by index", () => {
  const hosts = ["n1", "n2"].map((name, at) => ({
    name,
    index: at + 1,
    address: "",
    role: "worker" as const,
    paused: false,
    services: {},
  }));
  const slow = { ms: 5, jitterMs: 0, duplicatePercent: 0 };
  assert.deepEqual(
    compileUserFaults(hosts, { cuts: [["n1", "machine"]], loss: { n2: 30 }, delay: { n1: slow } }),
    { cuts: [[1, 1000]], loss: { 2: 30 }, delay: { 1: slow } },
  );
});

test("a TCP checksum that was left to the card is completed", () => {
  // A SYN from 10.66.78.11 to 10.66.78.12.
  const head = "021a0a42000c021a0a42000b0800";
  const ip = "45000028000040004006" + "8a420a424e0b0a424e0c";
  const tcp = "1b581b590000000100000000" + "5002ffff" + "0000" + "0000";
  const bytes = Buffer.from(head + ip + tcp, "hex");
  completeChecksum(bytes);
  assert.equal(wordSum(bytes.subarray(26)) + 6 + 20 - foldings(bytes), 0xffff);
  const once = Buffer.from(bytes);
  completeChecksum(bytes);
  assert.deepEqual(bytes, once, "a complete one stays");
});

test("what has no checksum of these is left alone", () => {
  const arp = Buffer.from(`${broadcast}${first}0806${"00".repeat(28)}`, "hex");
  const untouched = Buffer.from(arp);
  completeChecksum(arp);
  assert.deepEqual(arp, untouched);
});

/** The ones' complement rule: all words with the checksum among them sum to 0xffff, once the carries are folded in. */
function wordSum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  return sum;
}

function foldings(bytes: Buffer): number {
  return Math.floor((wordSum(bytes.subarray(26)) + 26) / 0x10000) * 0xffff;
}
