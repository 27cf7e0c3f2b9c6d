/** `trivet recover`: a cluster that has lost the majority of its voters goes on with the newest of the survivors. */
import { setTimeout as delay } from "node:timers/promises";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { StatusError } from "#base/errors.ts";
import { readIdentity } from "#cluster/identity.ts";
import type { RecoveryPlan, Survey } from "#cluster/recovery.ts";
import { planRecovery, recoverStoppedNode, surveyStoppedNode } from "#cluster/recovery.ts";
import { confirmed } from "./ask.ts";
import type { CommandContext } from "./context.ts";
import { callManagement, kubeconfigPath, NotRunningError } from "./management-client.ts";
import { requireNode } from "./node-commands.ts";
import { findNode, stopNode, stopTimeoutMs } from "./process-control.ts";
import { parseTimeoutMs, requireRoot } from "./system.ts";
import { startAndWait } from "./up.ts";

export interface RecoverFlags {
  dataDir: string;
  dryRun?: boolean;
  yes?: boolean;
  timeout: string;
}

type Member = Survey["members"][number];

const askTimeoutMs = 5_000;

export async function recoverCommand(context: CommandContext, flags: RecoverFlags): Promise<void> {
  requireRoot("recover");
  requireNode(flags.dataDir);
  if (readIdentity(flags.dataDir)?.role !== "control-plane")
    throw new Error("a cluster can only go on with a control-plane node: run this on a survivor that is one");
  const timeoutMs = parseTimeoutMs(flags.timeout);
  const running = findNode(flags.dataDir) !== undefined;
  const own = await ownSurvey(flags.dataDir, running);
  const others = await Promise.all(
    own.members.filter(({ id }) => id !== own.memberId).map((member) => askOther(flags.dataDir, member)),
  );
  const surveys = [own, ...others.filter((answer) => typeof answer === "object")];
  const silent = others.filter((answer) => typeof answer === "string");
  const plan = planRecovery(surveys, silent);
  context.print(explain(plan, surveys).join("\n"));
  if (flags.dryRun === true) {
    context.print("nothing was changed (--dry-run)");
    return;
  }
  if (flags.yes !== true) await ask(plan);
  const isOwn = plan.newest.id === own.memberId;
  await context.progress.step(`${plan.newest.name} goes on alone`, async () => {
    if (isOwn && !running) {
      // Its supervisor may be about to start it again.
      await stopNode(flags.dataDir, stopTimeoutMs);
      recoverStoppedNode(flags.dataDir, plan, Date.now());
      return "at its start";
    }
    const body = { term: plan.term, lost: plan.lost.map(({ name }) => name) };
    await callManagement(flags.dataDir, "POST", "recovery", body, 60_000, endpointsOf(plan, isOwn));
    return "decided";
  });
  if (!running) await startAndWait(context, { ...flags, start: true });
  else
    await context.progress.step("waiting until it takes writes", () =>
      waitUntilReady(flags.dataDir, endpointsOf(plan, isOwn), timeoutMs),
    );
  context.print(
    [
      "",
      `The cluster goes on with ${plan.newest.name}.`,
      ...(plan.others.length === 0
        ? []
        : [`${namesOf(plan.others)} follow by themselves, with a copy of it.`]),
      `If ${namesOf(plan.lost)} come back, they become standbys by themselves. If they never do: trivet remove-node NAME.`,
      "See trivet status.",
    ].join("\n"),
  );
}

async function ask({ lost }: RecoveryPlan): Promise<void> {
  const gone = `this gives up on ${namesOf(lost)} and on what only they know, for good: make sure that they are off`;
  const goesOn = await confirmed(
    `${gone[0]?.toUpperCase()}${gone.slice(1)}. Go on?`,
    `${gone}, then say so with "trivet recover --yes"`,
  );
  if (!goesOn) throw new Error("nothing was changed");
}

function explain(plan: RecoveryPlan, surveys: readonly Survey[]): string[] {
  const { newest, survey, lost } = plan;
  const lines = surveys.map((each) => {
    const name = each.members.find(({ id }) => id === each.memberId)?.name ?? each.memberId;
    const foreign = each.clusterId === survey.clusterId ? "" : "; belongs to another cluster";
    return `  ${name}  alive, its log ends at ${each.lastIndex} of term ${each.lastTerm} (revision ${each.revision})${foreign}`;
  });
  return [
    ...lines,
    ...lost.map(({ name, address }) => `  ${name}  no answer (${address})`),
    "",
    `${plan.lostVoters} of ${plan.voters} voters are lost: no majority can be formed any more.`,
    `${newest.name} has the newest log and goes on alone, in a new cluster generation; everybody else begins anew from its copy.`,
    "What may be missing: writes that were acknowledged by the lost nodes alone in the last moments before they went.",
    "Watches and caches of all clients are told to start over (410 Gone), so nobody goes on with what was lost.",
    `Should ${namesOf(lost)} still be running somewhere out of reach, they go on by themselves until they reach this cluster.`,
  ];
}

async function ownSurvey(dataDir: string, running: boolean): Promise<Survey> {
  if (running) return callManagement<Survey>(dataDir, "GET", "recovery", undefined, askTimeoutMs);
  const survey = surveyStoppedNode(dataDir);
  if (survey === undefined)
    throw new Error(`there is no copy of the datastore in ${dataDir}: run this on another survivor`);
  return survey;
}

/**
 * Undefined: it does not answer. A witness that is alive has only its id to give. Who is alive otherwise, but does not
 * say how far it is, might have more than all others: nobody goes on without it.
 */
async function askOther(dataDir: string, member: Member): Promise<Survey | string | undefined> {
  const { id, name, address, apiAddress } = member;
  if (apiAddress === "") return (await answers(address)) ? id : undefined;
  if (!existsSync(kubeconfigPath(dataDir)))
    throw new Error(
      `${kubeconfigPath(dataDir)} is missing: start this node first, so that the others can be asked`,
    );
  try {
    return await callManagement<Survey>(dataDir, "GET", "recovery", undefined, askTimeoutMs, [apiAddress]);
  } catch (error) {
    if (error instanceof NotRunningError && !(await answers(address))) return undefined;
    throw new Error(`${name} is alive, but does not say how far it is: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Whether anything listens on the datastore's port there. */
async function answers(address: string): Promise<boolean> {
  const at = address.lastIndexOf(":");
  return new Promise((resolve) => {
    const socket = connect({ host: address.slice(0, at), port: Number(address.slice(at + 1)) });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(askTimeoutMs, () => end(false));
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

async function waitUntilReady(
  dataDir: string,
  endpoints: string[] | undefined,
  timeoutMs: number,
): Promise<string> {
  const deadlineMs = Date.now() + timeoutMs;
  for (;;) {
    const survey = await callManagement<Survey>(
      dataDir,
      "GET",
      "recovery",
      undefined,
      askTimeoutMs,
      endpoints,
    ).catch((error: unknown) => {
      if (error instanceof NotRunningError || error instanceof StatusError) return undefined;
      throw error;
    });
    if (survey?.ready === true) return "it does";
    if (Date.now() > deadlineMs) throw new Error('it does not yet: see "trivet status"');
    await delay(200);
  }
}

function endpointsOf(plan: RecoveryPlan, isOwn: boolean): string[] | undefined {
  return isOwn ? undefined : [plan.newest.apiAddress];
}

function namesOf(members: readonly { name: string }[]): string {
  return members.map(({ name }) => name).join(", ") || "nobody";
}
