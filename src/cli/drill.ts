/** `trivet drill`: stops the replica that leads while every node writes, and reports how long writes waited. */
import { setTimeout as delay } from "node:timers/promises";
import type { DrillView, DrillWrites } from "#cluster/drill.ts";
import { drillRefusal } from "#cluster/drill.ts";
import { confirmed } from "./ask.ts";
import type { CommandContext } from "./context.ts";
import { callManagement } from "./management-client.ts";
import type { NodeStatus } from "./status.ts";
import { readStatus, table } from "./status.ts";

export interface DrillReport {
  kind: "outage" | "handover";
  oldLeader: string;
  newLeader: string;
  oldTerm: number;
  newTerm: number;
  /** How long the old leader's replica was stopped; 0 for a handover. */
  outageMs: number;
  nodes: ({ node: string } & DrillWrites)[];
  /** From the stop until the old leader was online and had everything again, as another node saw it. */
  backAfterMs: number;
}

const leadInMs = 1_000;
const tailMs = 5_000;
const recoveryMs = 60_000;
const pollMs = 100;

export async function drillCommand(
  context: CommandContext,
  flags: {
    dataDir: string;
    outage: string;
    graceful?: boolean;
    yes?: boolean;
    format: "pretty" | "json";
  },
): Promise<void> {
  const outageMs = flags.graceful === true ? 0 : seconds(flags.outage) * 1000;
  const before = await readStatus(flags.dataDir);
  const refusal = drillRefusal(viewOf(before));
  if (refusal !== undefined) throw new Error(`this cluster can't be drilled now: ${refusal}`);
  const { leader } = before.highAvailability;
  if (flags.yes !== true) await ask(leader, outageMs);
  const report = await run(context, flags.dataDir, before, outageMs);
  context.print(flags.format === "json" ? JSON.stringify(report, undefined, 2) : pretty(report));
}

async function run(
  context: CommandContext,
  dataDir: string,
  before: NodeStatus,
  outageMs: number,
): Promise<DrillReport> {
  const { leader, members, term } = before.highAvailability;
  const serving = members.filter((each) => each.online && each.apiAddress !== "");
  const old = serving.find((each) => each.name === leader);
  const others = serving.filter((each) => each.name !== leader).map((each) => each.apiAddress);
  if (old === undefined || others.length === 0)
    throw new Error(`the drill needs the API of the leader (${leader}) and of another node`);
  const durationMs = leadInMs + outageMs + tailMs;
  context.progress.line(`every node writes for ${durationMs / 1000} s`);
  const measuring = Promise.all(
    serving.map(async ({ name, apiAddress }) => ({
      node: name,
      ...(await callManagement<DrillWrites>(
        dataDir,
        "POST",
        "drill/writes",
        { durationMs },
        durationMs + 30_000,
        [apiAddress],
      )),
    })),
  );
  // Looked at only once the rest is over.
  measuring.catch(() => undefined);
  await delay(leadInMs);
  const beganMs = performance.now();
  const graceful = outageMs === 0;
  await callManagement(dataDir, "POST", "drill/outage", { durationMs: outageMs, graceful }, 15_000, [
    old.apiAddress,
  ]);
  context.progress.line(
    graceful
      ? `${leader} hands leadership over`
      : `the replica of ${leader} is stopped for ${outageMs / 1000} s`,
  );
  const after = await whenWhole(dataDir, others, leader, beganMs, outageMs);
  const nodes = await measuring;
  return {
    kind: graceful ? "handover" : "outage",
    oldLeader: leader,
    newLeader: after.status.highAvailability.leader,
    oldTerm: term,
    newTerm: after.status.highAvailability.term,
    outageMs,
    nodes,
    backAfterMs: after.afterMs,
  };
}

/** Waits until another leads and the old leader is back with everything. Throws when that takes longer than it may. */
async function whenWhole(
  dataDir: string,
  endpoints: string[],
  old: string,
  beganMs: number,
  outageMs: number,
): Promise<{ status: NodeStatus; afterMs: number }> {
  let last = "no other node answered";
  for (;;) {
    const afterMs = Math.round(performance.now() - beganMs);
    const status = await callManagement<NodeStatus>(
      dataDir,
      "GET",
      "status",
      undefined,
      5_000,
      endpoints,
    ).catch((error: unknown) => void (last = (error as Error).message));
    if (status !== undefined) {
      const { leader, members } = status.highAvailability;
      const back = members.find((each) => each.name === old);
      const whole = back?.online === true && back.lagEntries >= 0 && back.lagEntries < 100;
      if (leader !== "" && leader !== old && whole && afterMs >= outageMs) return { status, afterMs };
      last = leader === "" || leader === old ? "no other node leads" : `${old} has not come back`;
    }
    if (afterMs > outageMs + recoveryMs)
      throw new Error(`the drill failed: ${last} after ${Math.round(afterMs / 1000)} s; see "trivet status"`);
    await delay(pollMs);
  }
}

function pretty(report: DrillReport): string {
  const { kind, oldLeader, newLeader, oldTerm, newTerm, outageMs, nodes, backAfterMs } = report;
  return [
    kind === "outage"
      ? `the replica of ${oldLeader} (leader, term ${oldTerm}) was stopped for ${outageMs / 1000} s; ${newLeader} leads now (term ${newTerm})`
      : `${oldLeader} (leader, term ${oldTerm}) handed leadership over to ${newLeader} (term ${newTerm})`,
    "",
    table(
      ["WRITES THROUGH", "LONGEST GAP", "ACKNOWLEDGED", "REFUSED"],
      nodes.map(({ node, longestGapMs, acknowledged, refused }) => [
        node + (node === oldLeader ? " (old leader)" : ""),
        `${longestGapMs} ms`,
        String(acknowledged),
        String(refused),
      ]),
    ),
    ...(kind === "outage"
      ? ["", `${oldLeader} was back with everything ${(backAfterMs / 1000).toFixed(1)} s after the stop`]
      : []),
  ].join("\n");
}

function viewOf(status: NodeStatus): DrillView {
  const { members, leader, failuresToQuorumLoss, external } = status.highAvailability;
  return {
    failuresToQuorumLoss,
    ...(external === undefined ? {} : { external }),
    members: members.map((each) => ({ ...each, isLeader: each.name === leader })),
  };
}

async function ask(leader: string, outageMs: number): Promise<void> {
  const what =
    outageMs === 0
      ? "hand leadership over"
      : `stop the datastore of node ${leader}, which leads, for ${outageMs / 1000} s`;
  const goesOn = await confirmed(
    `The drill will ${what} while all nodes write. Go on?`,
    'a drill stops the leading replica: say so with "trivet drill --yes"',
  );
  if (!goesOn) throw new Error("the drill was not begun");
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 1 && value <= 60)) throw new Error(`--outage takes from 1 to 60 seconds, not "${text}"`);
  return value;
}
