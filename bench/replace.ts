/**
 * Four nodes, a voter dies for good: the time until the standby votes in its place. Trivet alone: an etcd waits for
 * somebody to add a member. A new cluster each round.
 *
 *     npm run bench -- replace [--quick] [--rounds 3]
 */
import { setTimeout as delay } from "node:timers/promises";
import { makeIssuer } from "./datastore/cluster.ts";
import { benchOptions, note } from "./datastore/options.ts";
import { Scratch } from "./datastore/scratch.ts";
import { TrivetCluster } from "./datastore/trivet-cluster.ts";
import { median, printTable } from "./table.ts";

const { rounds } = benchOptions({ seconds: 0, rounds: 3 });
const timeoutMs = 60_000;
const tookMs: number[] = [];

for (let round = 1; round <= rounds; round++) {
  const cluster = await TrivetCluster.start(new Scratch("replace"), await makeIssuer(), 4);
  const leader = await cluster.leader();
  await cluster.near(leader)("fill", { from: 0, to: 1000, valueBytes: 1024 });
  const { members } = await cluster.status(leader);
  const standby = members.find(({ role }) => role === "standby")?.name;
  // Members are named by their numbers.
  const victim = members.findIndex(({ role, isLeader }) => role === "voter" && !isLeader);
  const killedMs = performance.now();
  await cluster.kill(Number(members[victim]?.name.slice(1)));
  for (;;) {
    const status = await cluster.status(leader);
    if (status.members.find(({ name }) => name === standby)?.role === "voter") break;
    if (performance.now() - killedMs > timeoutMs) throw new Error("the standby does not vote");
    await delay(20);
  }
  tookMs.push(performance.now() - killedMs);
  note(`round ${round}/${rounds}: ${((tookMs.at(-1) ?? NaN) / 1000).toFixed(1)} s`);
  await cluster.close();
}
printTable(
  `kill -9 of a voter of four nodes until the standby votes; ${rounds} rounds`,
  ["median", "maximum", "aim"],
  [[`${(median(tookMs) / 1000).toFixed(1)} s`, `${(Math.max(...tookMs) / 1000).toFixed(1)} s`, "15 s"]],
);
