/** Faults that need more than the kernel's switch: time, order and number of frames, full disks, wrong clocks. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { createLab, openLab } from "#lab/lab.ts";
import type { Lab } from "#lab/lab.ts";
import { execute, waitUntil } from "#lab/processes.ts";
import { skipUnlessRoot } from "./harness.ts";

const dir = "/tmp/trivet-lab-faults";
const options = { skip: skipUnlessRoot, timeout: 60_000 };
let lab: Lab;

/** Answers every datagram with itself. */
const echo = `
  const socket = require("dgram").createSocket("udp4");
  socket.on("message", (text, { port, address }) => socket.send(text, port, address));
  socket.bind(7001);`;

/** Sends numbered datagrams and prints what came back, with the times. */
const probe = `
  const [, address, count] = process.argv;
  const socket = require("dgram").createSocket("udp4");
  const sentMs = [];
  const answers = [];
  socket.on("message", (text) => answers.push([Number(text), performance.now() - sentMs[Number(text)]]));
  let next = 0;
  const timer = setInterval(() => {
    sentMs.push(performance.now());
    socket.send(String(next++), 7001, address);
    if (next < Number(count)) return;
    clearInterval(timer);
    setTimeout(() => { console.log(JSON.stringify(answers)); socket.close(); }, 700);
  }, 2);`;

before(async () => {
  if (skipUnlessRoot !== false) return;
  await openLab(dir).then(
    (old) => old.down(),
    () => undefined,
  );
  const faults = { delayMs: 0, diskSizeMiB: 32, movableClocks: true };
  lab = await createLab({ dir, nodes: 3, subnet: "10.66.77.0/24", ...faults });
  for (const { name } of lab.hosts) await lab.spawn(name, "trivet", [process.execPath, "-e", echo]);
  for (const [from, to] of [
    ["n1", "n2"],
    ["n1", "n3"],
    ["n2", "n1"],
  ] as const)
    assert.ok(await waitUntil(async () => (await answers(from, to, 1)).length === 1, 10_000));
});

after(async () => {
  await openLab(dir).then(
    (left) => left.down(),
    () => undefined,
  );
});

test("without faults the switch in user space is a switch", options, async () => {
  const found = await answers("n1", "n2", 50);
  assert.deepEqual(
    found.map(([number]) => number),
    found.map((_, at) => at),
  );
  assert.equal(found.length, 50);
  assert.ok(median(found) < 20, `${median(found)} ms`);
});

test("what a delayed node sends is late, what it hears is not", options, async () => {
  await lab.delay("n2", 60);
  const late = median(await answers("n1", "n2", 20));
  assert.ok(late >= 60 && late < 120, `${late} ms`);
  assert.ok(median(await answers("n1", "n3", 20)) < 20);
  await lab.delay("n2", 0);
  assert.ok(median(await answers("n1", "n2", 20)) < 20);
});

test("jitter lets frames overtake each other, and some arrive twice", options, async () => {
  await lab.delay("n1", 0, { jitterMs: 60, duplicatePercent: 50 });
  const numbers = (await answers("n1", "n2", 100)).map(([number]) => number);
  await lab.heal("n1");
  assert.notDeepEqual(
    numbers,
    numbers.toSorted((a, b) => a - b),
  );
  assert.equal(new Set(numbers).size, 100);
  assert.ok(numbers.length > 115 && numbers.length < 190, `${numbers.length} of 100`);
});

test("lost frames and cuts, as with the kernel's switch", options, async () => {
  await lab.lose("n1", 30);
  const { length } = await answers("n1", "n2", 300);
  assert.ok(length > 160 && length < 255, `${length} of 300 arrive`);
  await lab.heal("n1");
  await lab.partition("n1", { from: ["n2"] });
  assert.deepEqual(await answers("n1", "n2", 3), []);
  assert.equal((await answers("n1", "n3", 3)).length, 3);
  await lab.heal("n1");
  assert.equal((await answers("n1", "n2", 3)).length, 3);
});

test("the switch comes back when its program was killed", options, async () => {
  const { relay } = JSON.parse(readFileSync(`${dir}/lab.json`, "utf8")) as { relay: { pid: number } };
  process.kill(relay.pid, "SIGKILL");
  await lab.kill("n3");
  await lab.start("n3");
  lab = await openLab(dir);
  for (const { name } of lab.hosts.slice(0, 2)) {
    await lab.kill(name);
    await lab.start(name);
  }
  assert.ok(await waitUntil(async () => (await answers("n1", "n3", 1)).length === 1, 10_000));
});

test("a full disk takes nothing, and has room again", options, async () => {
  const write = ["sh", "-c", "head -c 100000 /dev/zero > /var/lib/file"];
  await lab.fillDisk("n1");
  assert.notEqual((await lab.run("n1", write)).code, 0);
  assert.equal((await lab.run("n2", write)).code, 0, "another one's is its own");
  await lab.freeDisk("n1");
  assert.equal((await lab.run("n1", write)).code, 0);
  await lab.kill("n1");
  await lab.start("n1");
  assert.equal((await lab.must("n1", ["wc", "-c", "/var/lib/file"])).trim(), "100000 /var/lib/file");
});

test("a clock is set for one node, in all of its threads", options, async () => {
  const tell = `
    const { Worker } = require("worker_threads");
    const offset = (nowMs) => Math.round((nowMs - ${Date.now()}) / 1000);
    new Worker("require('worker_threads').parentPort.postMessage(Date.now())", { eval: true })
      .on("message", (ms) => console.log(offset(ms), offset(new Date().getTime()), new Date(0).toISOString()));`;
  await lab.setClock("n1", -3_600_000);
  for (const name of ["n1", "n2"])
    await lab.spawn(name, "clock", [process.execPath, "-e", tell], { once: true });
  const told = (name: string) => readFileSync(`${dir}/logs/${name}-clock.log`, "utf8");
  assert.ok(await waitUntil(() => told("n1") !== "" && told("n2") !== "", 10_000));
  assert.match(told("n1"), /^-3(59\d|600) -3(59\d|600) 1970-01-01T00:00:00.000Z\n$/);
  assert.match(told("n2"), /^\d \d 1970/);
});

test("impossible orders are refused", options, async () => {
  const names = [lab.delay("n9", 1), lab.delay("n1", -1), lab.delay("n1", 1, { duplicatePercent: 101 })];
  for (const refused of names) await assert.rejects(refused, /no node n9|a delay is 0 to|can't arrive twice/);
});

test("down leaves nothing", options, async () => {
  await lab.down();
  assert.doesNotMatch((await execute("mount", [])).stdout, /trivet-lab-faults/);
  assert.doesNotMatch((await execute("ip", ["netns"])).stdout, new RegExp(lab.id));
});

async function answers(from: string, to: string, count: number): Promise<[number: number, ms: number][]> {
  const argv = [process.execPath, "-e", probe, lab.host(to).address, String(count)];
  return JSON.parse(await lab.must(from, argv)) as [number, number][];
}

function median(found: [number, number][]): number {
  return found.map(([, ms]) => ms).toSorted((a, b) => a - b)[found.length >> 1] ?? Infinity;
}
