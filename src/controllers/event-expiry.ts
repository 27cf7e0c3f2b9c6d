/**
 * Events are kept for an hour after they were last written. Nobody copies them here: they are listed when
 * the first of them can have expired, and not before; with none left, an hour later.
 */
import { StatusError } from "#base/errors.ts";
import type { KubeObject } from "#kinds/object.ts";
import { list, on, remove, requeueAfter } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { events, namespaces } from "./kubernetes.ts";

/** The API server's --event-ttl. */
const lifeMs = 3600_000;
/** Deletions in a row before others have their turn, and the pause then. */
const batchSize = 50;
const batchPauseMs = 2000;
/** Expired events may stay this much longer, so that a look is worth its cost. */
const slackMs = 300_000;
const key = "events";

export const eventExpiryController: Controller = {
  name: "event-expiry-controller",
  // Wakes once, by a namespace that every cluster has; then by its own clock.
  triggers: [
    on(
      namespaces,
      () => [key],
      (object, old) => old === undefined && object?.metadata.name === "default",
    ),
  ],
  writes: [events],
  plan: planExpiry,
};

export function* planExpiry(_view: View, _key: string, nowMs: number): Plan {
  let nextMs = nowMs + lifeMs;
  let deleted = 0;
  for (const event of yield* list(events, undefined)) {
    const endMs = lastWrittenMs(event) + lifeMs;
    if (endMs > nowMs) {
      nextMs = Math.min(nextMs, endMs);
    } else if (deleted === batchSize) {
      yield* requeueAfter(batchPauseMs);
      return;
    } else {
      deleted++;
      yield* removeIfThere(event);
    }
  }
  yield* requeueAfter(nextMs - nowMs + slackMs);
}

function* removeIfThere(event: KubeObject): Plan {
  try {
    // Not if it was counted up meanwhile.
    const { resourceVersion } = event.metadata;
    yield* remove(events, event, resourceVersion === undefined ? {} : { resourceVersion });
  } catch (error) {
    if (!(error instanceof StatusError && (error.code === 404 || error.code === 409))) throw error;
  }
}

/** Whoever repeats an event writes when: into its fields, or at least into those of its field managers. */
function lastWrittenMs(event: KubeObject): number {
  const { lastTimestamp, series } = event as {
    lastTimestamp?: string;
    series?: { lastObservedTime?: string };
  };
  const times = [
    event.metadata.creationTimestamp,
    lastTimestamp,
    series?.lastObservedTime,
    ...(event.metadata.managedFields ?? []).map((each) => (each as { time?: string }).time),
  ];
  return Math.max(0, ...times.map((each) => Date.parse(each ?? "") || 0));
}
