/** One round: clients at work, a fault, the fault's end, and everything that must hold afterwards. */
import type { KeyValue } from "#base/backend.ts";
import { waitUntil } from "#lab/processes.ts";
import { findNonLinearizablePart } from "#sim/linearizability.ts";
import { SeededRandom } from "#sim/seeded-random.ts";
import { storeModel } from "#sim/store-model.ts";
import { describe, endOf, LedgerWriter, pause, SharedClient, Watcher } from "./clients.ts";
import type { Acknowledged, History } from "./clients.ts";
import type { DrillCluster } from "./cluster.ts";
import { restore } from "./faults.ts";
import type { Fault } from "./faults.ts";

export interface RoundResult {
  fault: string;
  /** The longest time without any acknowledged write, from the fault's beginning until all is healthy again. */
  gapMs: number;
  /** From the end of the fault until all three vote, are online and have everything. */
  healMs: number;
  operations: number;
  acknowledged: number;
  violations: string[];
}

/** What an earlier round has left, which must stay. */
export interface Left {
  prefix: string;
  lines: string[];
}

const healTimeoutMs = 30_000;
const catchUpMs = 15_000;
const sharedClients = 5;

export async function runRound(
  cluster: DrillCluster,
  fault: Fault,
  number: number,
  seed: number,
  before: Left | undefined,
): Promise<{ result: RoundResult; left: Left }> {
  const random = new SeededRandom(seed);
  const prefix = `/drills/${number}/`;
  const links = cluster.names.map((name) => cluster.link(name));
  const leader = await cluster.healthy(healTimeoutMs);
  const [one = "", other = ""] = cluster.names.filter((name) => name !== leader);
  const followers: [string, string] = random.integer(2) === 0 ? [one, other] : [other, one];
  const fromRevision = (await cluster.link(leader).backend.readRevision()) + 1;
  const history: History = [];
  const watchers = links.map((link) => new Watcher(link, prefix, fromRevision));
  const writers = links.map(() => new LedgerWriter(prefix, fault.valueBytes ?? 100));
  const stop = new AbortController();
  const clients = Array.from({ length: sharedClients }, (_, at) =>
    new SharedClient(at, prefix, new SeededRandom(seed * 100 + at), history).run(links, stop.signal),
  );
  const work = Promise.all([...clients, ...writers.map((writer, at) => writer.run(links[at]!, stop.signal))]);
  try {
    await pause(700);
    const beganMs = performance.now();
    await fault.begin({ cluster, leader, followers, random });
    await pause(fault.holdMs);
    const endedMs = performance.now();
    await restore(cluster);
    const newLeader = await cluster.healthy(healTimeoutMs);
    const healedMs = performance.now();
    await pause(500);
    stop.abort();
    await work;
    const acknowledged = writers.flatMap((writer) => writer.acknowledged);
    const violations = writers.flatMap((writer) => writer.faults);
    const { lines, found } = await compare(cluster, newLeader, prefix, fromRevision, watchers, acknowledged);
    violations.push(...found);
    if (before !== undefined) violations.push(...(await stillThere(cluster, before)));
    const part = findNonLinearizablePart(storeModel, history);
    if (part !== undefined) violations.push(`the history of key ${part} is not linearizable`);
    const result: RoundResult = {
      fault: fault.name,
      gapMs: longestGapMs(acknowledged, beganMs, healedMs),
      healMs: healedMs - endedMs,
      operations: history.length,
      acknowledged: acknowledged.length,
      violations,
    };
    return { result, left: { prefix, lines } };
  } finally {
    stop.abort();
    await work.catch(() => undefined);
    for (const watcher of watchers) watcher.stop();
  }
}

/** The log, as a fresh watch tells it, against what every watcher, every writer and every node says. */
async function compare(
  cluster: DrillCluster,
  leader: string,
  prefix: string,
  fromRevision: number,
  watchers: Watcher[],
  acknowledged: Acknowledged[],
): Promise<{ lines: string[]; found: string[] }> {
  const found: string[] = [];
  const key = `${prefix}end`;
  const put = { type: "put" as const, key, value: new Uint8Array(0) };
  const { revision } = await cluster
    .link(leader)
    .backend.transact({ compare: [], success: [put], failure: [] });
  const isEnd = (event: string | undefined) => event?.startsWith(`${revision} put ${key}`) === true;
  const truth = new Watcher(cluster.link(leader), prefix, fromRevision);
  const complete = await waitUntil(
    () => [truth, ...watchers].every(({ events }) => isEnd(events.at(-1))),
    catchUpMs,
  );
  truth.stop();
  if (!complete) found.push(`not all watches were told of revision ${revision} within ${catchUpMs / 1000} s`);
  found.push(...[truth, ...watchers].flatMap(({ faults }) => faults));
  for (const [at, { events }] of watchers.entries()) {
    const wrong = truth.events.findIndex((event, place) => event !== events[place]);
    if (wrong >= 0 || events.length !== truth.events.length)
      found.push(
        `the watch on ${cluster.names[at]} differs from the log at event ${wrong}: ${shorten(events[wrong])} instead of ${shorten(truth.events[wrong])} (${events.length} and ${truth.events.length} events)`,
      );
  }
  const logged = new Set(truth.events);
  for (const { key: name, value, revision: at } of acknowledged) {
    if (!logged.has(`${at} put ${name} ${at} 1 ${value}`))
      found.push(`${name} was acknowledged at revision ${at} and is not in the log`);
  }
  const lines = fold(truth.events);
  for (const name of cluster.names) {
    const own = await content(cluster, name, prefix);
    const wrong = lines.findIndex((line, place) => line !== own[place]);
    if (wrong >= 0 || own.length !== lines.length)
      found.push(`${name} has ${shorten(own[wrong])} where the log says ${shorten(lines[wrong])}`);
  }
  return { lines, found };
}

/** What a node itself has under a prefix, in the words of its events. */
async function content(cluster: DrillCluster, name: string, prefix: string): Promise<string[]> {
  const { kvs } = await cluster
    .link(name)
    .backend.range({ key: prefix, end: endOf(prefix), serializable: true });
  return kvs.map((kv: KeyValue) => describe({ type: "put", kv }));
}

async function stillThere(cluster: DrillCluster, { prefix, lines }: Left): Promise<string[]> {
  const found: string[] = [];
  for (const name of cluster.names) {
    const own = await content(cluster, name, prefix);
    if (own.join("\n") !== lines.join("\n")) found.push(`${name} has lost something of the round before`);
  }
  return found;
}

/** The last word about each key that exists, in the order of keys. */
function fold(events: readonly string[]): string[] {
  const last = new Map<string, string>();
  for (const event of events) {
    const [, type, key = ""] = event.split(" ", 3);
    if (type === "put") last.set(key, event);
    else last.delete(key);
  }
  return [...last].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, event]) => event);
}

function longestGapMs(acknowledged: Acknowledged[], fromMs: number, toMs: number): number {
  const times = acknowledged.map(({ atMs }) => atMs).filter((at) => at > fromMs && at < toMs);
  const all = [fromMs, ...times.toSorted((a, b) => a - b), toMs];
  return Math.max(...all.slice(1).map((at, place) => at - all[place]!));
}

function shorten(text: string | undefined): string {
  return text === undefined ? "nothing" : `"${text.slice(0, 80)}"`;
}
