/**
 * Decisions on roles as Events of the nodes that they are about. Only the node that leads writes them; a name
 * made of the decision lets the next leader write what the last one could not, and nothing twice.
 */
import type { Logger } from "#base/ports.ts";
import { StatusError } from "#base/errors.ts";
import type { Client } from "#client/types.ts";
import type { ReplicaStatus, RoleDecision } from "#replica/types.ts";

const events = { group: "", version: "v1", plural: "events" };
/** Older ones are history, not news: Kubernetes keeps Events for an hour. */
const newsMs = 3_600_000;
const retryMs = 5_000;

export interface RoleEvents {
  close(): void;
}

export function startRoleEvents(options: {
  onStatus(callback: (status: ReplicaStatus) => void): () => void;
  client: Client;
  nowMs(): number;
  logger: Logger;
}): RoleEvents {
  const written = new Set<string>();
  let latest: ReplicaStatus | undefined;
  let writing = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  const work = async (): Promise<void> => {
    if (writing) return;
    writing = true;
    try {
      for (let decision = next(); decision !== undefined && !closed; decision = next()) {
        for (const event of eventsOf(decision)) await create(options.client, event);
        written.add(keyOf(decision));
      }
    } catch (error) {
      options.logger.debug("an event of a role is written later", { error: String(error) });
      timer = setTimeout(() => void work(), retryMs);
    } finally {
      writing = false;
    }
  };
  const next = (): RoleDecision | undefined =>
    latest?.leaderId !== latest?.memberId
      ? undefined
      : latest?.decisions.find((each) => options.nowMs() - each.timeMs < newsMs && !written.has(keyOf(each)));
  const unsubscribe = options.onStatus((status) => {
    latest = status;
    const known = new Set(status.decisions.map(keyOf));
    for (const key of written) if (!known.has(key)) written.delete(key);
    void work();
  });
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      unsubscribe();
    },
  };
}

function keyOf({ timeMs, term, text }: RoleDecision): string {
  return `${term}/${timeMs}/${text}`;
}

/** One for each node that the decision is about. */
export function eventsOf({ timeMs, term, reason, subjects, text }: RoleDecision) {
  const at = new Date(timeMs).toISOString().replace(/\.\d+Z$/, "Z");
  return (subjects ?? []).map((name) => ({
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${name}.${term.toString(16)}.${timeMs.toString(16)}`, namespace: "default" },
    // As the agent's events of its node have it: a node's name stands for its uid.
    involvedObject: { kind: "Node", name, uid: name, apiVersion: "v1" },
    reason: reason ?? "RoleChanged",
    message: text,
    type: reason === "VoterReplaced" || reason === "StandbyReplaced" ? "Warning" : "Normal",
    source: { component: "trivet-datastore" },
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
    eventTime: null,
    reportingComponent: "trivet-datastore",
    reportingInstance: "",
  }));
}

async function create(client: Client, event: ReturnType<typeof eventsOf>[number]): Promise<void> {
  try {
    await client.create(events, event);
  } catch (error) {
    if (!(error instanceof StatusError) || error.reason !== "AlreadyExists") throw error;
  }
}
