/**
 * Recovery from a lost majority over the management API, and the decision behind it. GET /trivet/v1/recovery: how
 * far this node's replica has come, also without a majority; POST: it goes on alone. Which node should, and
 * whether any may, is decided by `planRecovery`, a pure function of what the survivors say.
 */
import { join } from "node:path";
import { StatusError } from "#base/errors.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "#base/http.ts";
import { requestRecovery, surveyDirectory } from "#replica/backup/recover.ts";
import type { MemberRecord, ReplicaHandle, ReplicaSurvey } from "#replica/types.ts";

export type Survey = ReplicaSurvey;

export interface RecoveryPlan {
  /** Whose log is the newest: it goes on. */
  newest: MemberRecord;
  /** Who else answers; they get a copy from the newest. */
  others: MemberRecord[];
  /** Who does not answer. They are fenced, and begin anew when they come back. */
  lost: MemberRecord[];
  lostVoters: number;
  voters: number;
  term: number;
  survey: Survey;
}

/**
 * What to do given the surveys of all that answer, and the ids of those that are alive but can't say how far they are
 * (witnesses): they count as votes. Throws StatusError Conflict when a majority of the voters
 * answers, or when somebody reaches one: then there is nothing to recover, and it would only do harm.
 */
export function planRecovery(
  surveys: readonly Survey[],
  silentlyAlive: readonly string[] = [],
): RecoveryPlan {
  const ready = surveys.find((survey) => survey.ready);
  if (ready !== undefined)
    throw new StatusError(
      "Conflict",
      `nothing to recover: ${nameOf(ready)} reaches a majority of the voters and serves reads and writes`,
    );
  const first = surveys.toSorted(
    (a, b) => b.lastTerm - a.lastTerm || b.lastIndex - a.lastIndex || (a.memberId < b.memberId ? -1 : 1),
  )[0];
  if (first === undefined) throw new StatusError("BadRequest", "no replica has answered");
  const same = surveys.filter(({ clusterId }) => clusterId === first.clusterId);
  const alive = new Set([...same.map(({ memberId }) => memberId), ...silentlyAlive]);
  const { voters, members } = first;
  const liveVoters = voters.filter((id) => alive.has(id));
  if (liveVoters.length * 2 > voters.length)
    throw new StatusError(
      "Conflict",
      `nothing to recover: ${liveVoters.length} of ${voters.length} voters answer, which is a majority; ` +
        "they elect a leader by themselves as soon as they run and reach each other",
    );
  const newest = members.find(({ id }) => id === first.memberId);
  if (newest === undefined)
    throw new StatusError("Conflict", `${nameOf(first)} is no member of its cluster any more`);
  return {
    newest,
    others: members.filter(({ id }) => id !== newest.id && alive.has(id)),
    lost: members.filter(({ id }) => !alive.has(id)),
    lostVoters: voters.length - liveVoters.length,
    voters: voters.length,
    term: Math.max(...surveys.map(({ term }) => term)) + 1,
    survey: first,
  };
}

export function createRecoveryRoute(replica: Pick<ReplicaHandle, "survey" | "recover">): HttpHandler {
  return requireAdministrator(async (request) => {
    if (request.method === "GET") return json(200, await replica.survey());
    if (request.method !== "POST") throw new StatusError("MethodNotAllowed", "use GET or POST");
    const { term, lost } = parse(request);
    await replica.recover({ term, lost });
    return json(200, await replica.survey());
  });
}

/** How far the replica of a stopped node had come. Undefined where there is none. Throws FatalError when it is damaged. */
export function surveyStoppedNode(dataDir: string): Survey | undefined {
  return surveyDirectory(join(dataDir, "replica"));
}

/** A stopped node goes on alone at its next start. */
export function recoverStoppedNode(dataDir: string, plan: RecoveryPlan, nowMs: number): void {
  const lost = plan.lost.map(({ name }) => name);
  requestRecovery(join(dataDir, "replica"), { term: plan.term, timeMs: nowMs, lost });
}

/** Lets only cluster administrators through, and answers errors as Status objects. */
export function requireAdministrator(handler: HttpHandler): HttpHandler {
  return async (request) => {
    try {
      if (!(request.user?.groups ?? []).includes("system:masters"))
        throw new StatusError(
          "Forbidden",
          `user "${request.user?.name ?? "system:anonymous"}" can't manage this cluster`,
        );
      return await handler(request);
    } catch (error) {
      const status =
        error instanceof StatusError
          ? error
          : new StatusError("InternalError", error instanceof Error ? error.message : String(error));
      return json(status.code, status.toStatus());
    }
  };
}

function parse(request: HttpRequest): { term: number; lost: string[] } {
  try {
    const value = JSON.parse(new TextDecoder().decode(request.body)) as { term?: unknown; lost?: unknown };
    if (Number.isSafeInteger(value.term) && Array.isArray(value.lost))
      return { term: value.term as number, lost: value.lost.map(String) };
  } catch {
    // The same answer as for JSON of another shape.
  }
  throw new StatusError("BadRequest", "the request's body is not {term, lost}");
}

function nameOf(survey: Survey): string {
  return survey.members.find(({ id }) => id === survey.memberId)?.name ?? survey.memberId;
}

function json(status: number, value: unknown): HttpResponse {
  return {
    status,
    headers: { "content-type": "application/json" },
    body: new TextEncoder().encode(JSON.stringify(value)),
  };
}
