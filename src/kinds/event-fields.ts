/** What core Events and those of events.k8s.io share: one stored form, two vocabularies, one table. */
import { nameColumn, text, wide } from "./columns.ts";
import { type FieldError, invalid, required } from "./field-error.ts";
import { byteLength } from "./metadata.ts";
import { qualifiedNameErrors } from "./names.ts";
import type { Column } from "./kind.ts";
import type { KubeObject, ObjectMeta } from "./object.ts";
import { formatDuration, parseTimeMs } from "./time.ts";

interface EventReference {
  kind?: string;
  namespace?: string;
  name?: string;
  fieldPath?: string;
  apiVersion?: string;
  uid?: string;
  resourceVersion?: string;
}

/** An event under either vocabulary. */
export interface EventObject extends KubeObject {
  involvedObject?: EventReference;
  regarding?: EventReference;
  reason?: string;
  message?: string;
  note?: string;
  source?: { component?: string; host?: string };
  deprecatedSource?: { component?: string; host?: string };
  firstTimestamp?: string | null;
  deprecatedFirstTimestamp?: string | null;
  lastTimestamp?: string | null;
  deprecatedLastTimestamp?: string | null;
  count?: number;
  deprecatedCount?: number;
  type?: string;
  eventTime?: string | null;
  series?: { count?: number; lastObservedTime?: string | null };
  action?: string;
  reportingComponent?: string;
  reportingController?: string;
  reportingInstance?: string;
  metadata: ObjectMeta;
}

export function subjectOf(event: EventObject): EventReference {
  return event.involvedObject ?? event.regarding ?? {};
}

function firstSeen(event: EventObject): string | null | undefined {
  return event.firstTimestamp ?? event.deprecatedFirstTimestamp;
}

function age(since: string | null | undefined, nowMs: number): string | undefined {
  const ms = parseTimeMs(since);
  return ms === undefined ? undefined : formatDuration(nowMs - ms);
}

export const eventColumns: readonly Column<EventObject>[] = [
  text("Last Seen", "Time since it was last seen.", (event, nowMs) => {
    const last = age(event.lastTimestamp ?? event.deprecatedLastTimestamp, nowMs);
    const first = age(firstSeen(event), nowMs) ?? age(event.eventTime, nowMs) ?? "<unknown>";
    if (event.series !== undefined) return age(event.series.lastObservedTime, nowMs) ?? last ?? first;
    return last ?? first;
  }),
  text("Type", "Normal or Warning.", ({ type }) => type ?? ""),
  text("Reason", "Short reason.", ({ reason }) => reason ?? ""),
  text("Object", "What the event is about.", (event) => {
    const { kind = "", name = "" } = subjectOf(event);
    return kind === "" ? name : `${kind.toLowerCase()}/${name}`;
  }),
  wide("Subobject", "Part of the object.", (event) => subjectOf(event).fieldPath ?? ""),
  wide("Source", "Who reported it.", (event) => {
    const source = event.source ?? event.deprecatedSource ?? {};
    const component = source.component || event.reportingComponent || event.reportingController || "";
    const host = source.host || event.reportingInstance || "";
    return [component, host].filter((each) => each !== "").join(", ");
  }),
  text("Message", "What happened.", ({ message, note }) => (message ?? note ?? "").trim()),
  wide("First Seen", "Time since it was first seen.", (event, nowMs) => {
    return age(firstSeen(event), nowMs) ?? age(event.eventTime, nowMs) ?? "<unknown>";
  }),
  {
    name: "Count",
    type: "string",
    description: "How often it was seen.",
    priority: 1,
    cell: (event) => event.series?.count ?? ((event.count ?? event.deprecatedCount) || 1),
  },
  { ...nameColumn, priority: 1 },
];

function reporterOf({ reportingComponent, reportingController }: EventObject): string {
  return reportingComponent ?? reportingController ?? "";
}

function source(event: EventObject): string {
  return (event.source ?? event.deprecatedSource)?.component || reporterOf(event);
}

/** Fields by which clients look for events; each vocabulary knows its own words for them. */
export function eventFieldSelectors(
  prefix: "involvedObject" | "regarding",
): Record<string, (event: EventObject) => string> {
  const selectors: Record<string, (event: EventObject) => string> = {
    reason: ({ reason }) => reason ?? "",
    type: ({ type }) => type ?? "",
    ...(prefix === "regarding"
      ? { reportingController: reporterOf }
      : { reportingComponent: reporterOf, source }),
  };
  for (const field of [
    "kind",
    "namespace",
    "name",
    "uid",
    "apiVersion",
    "resourceVersion",
    "fieldPath",
  ] as const)
    selectors[`${prefix}.${field}`] = (event) => subjectOf(event)[field] ?? "";
  return selectors;
}

/**
 * What an event with an `eventTime` must say. Its object may stand in any namespace; without one the event
 * stands where those of cluster-wide objects do.
 */
export function newStyleErrors(
  event: EventObject,
  reporterField: "reportingComponent" | "reportingController",
): FieldError[] {
  const errors: FieldError[] = [];
  const of = subjectOf(event).namespace ?? "";
  const at = event.metadata.namespace ?? "";
  if (of === "" && !["", "default", "kube-system"].includes(at))
    errors.push(invalid("involvedObject.namespace", of, "does not match event.namespace"));
  const reporter = reporterOf(event);
  if (reporter === "") errors.push(required(reporterField));
  errors.push(...qualifiedNameErrors(reporter).map((each) => invalid(reporterField, reporter, each)));
  const { reportingInstance = "", action = "", reason = "" } = event;
  for (const [field, value] of Object.entries({ reportingInstance, action, reason })) {
    if (value === "") errors.push(required(field));
    if (value.length > 128) errors.push(invalid(field, "", "can have at most 128 characters"));
  }
  if (byteLength(event.note ?? event.message ?? "") > 1024)
    errors.push(invalid("message", "", "can have at most 1024 characters"));
  return errors;
}
