/** What the page says about objects, from the objects alone. Pure. */

/**
 * How much of a workload is ready, by the fields that its kind has; undefined where readiness means nothing.
 * @param {any} object
 * @returns {{ ready: number, wanted: number } | undefined}
 */
export function readinessOf({ spec = {}, status = {} }) {
  if (status.desiredNumberScheduled !== undefined)
    return { ready: status.numberReady ?? 0, wanted: status.desiredNumberScheduled };
  if (spec.template !== undefined && spec.completions !== undefined)
    return { ready: status.succeeded ?? 0, wanted: spec.completions };
  if (spec.replicas !== undefined) return { ready: status.readyReplicas ?? 0, wanted: spec.replicas };
  return undefined;
}

/**
 * Whether another workload owns this one (a Deployment its ReplicaSets, a CronJob its Jobs).
 * @param {any} object
 */
export function isOwned({ metadata }) {
  return (metadata.ownerReferences ?? []).some((/** @type {any} */ each) => each.controller === true);
}

/**
 * The images of a pod template, wherever the kind keeps it.
 * @param {any} object
 * @returns {string[]}
 */
export function imagesOf({ spec = {} }) {
  const template = spec.template ?? spec.jobTemplate?.spec?.template;
  return (template?.spec?.containers ?? []).map((/** @type {any} */ each) => each.image);
}

const goodStates = new Set([
  "Running",
  "Completed",
  "Succeeded",
  "Ready",
  "Active",
  "Bound",
  "True",
  "Normal",
]);
const waitingStates = new Set([
  "Pending",
  "ContainerCreating",
  "PodInitializing",
  "Terminating",
  "Warning",
  "Unknown",
]);

/**
 * A class for a state's word.
 * @param {string} state
 */
export function classOf(state) {
  if (goodStates.has(state)) return "good";
  return waitingStates.has(state) || state.startsWith("Init:") ? "warn" : "bad";
}

/**
 * "45s", "12m", "3h", "4d": the time since a timestamp.
 * @param {string | undefined | null} timestamp RFC 3339
 * @param {number} nowMs
 */
export function ageOf(timestamp, nowMs) {
  if (timestamp === undefined || timestamp === null) return "";
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(timestamp)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/**
 * When an event was last seen.
 * @param {any} event
 * @returns {string | undefined}
 */
export function lastSeen(event) {
  return (
    event.series?.lastObservedTime ??
    event.lastTimestamp ??
    event.eventTime ??
    event.metadata.creationTimestamp ??
    undefined
  );
}

/**
 * How many failures the datastore survives, in words.
 * @param {number} failures -1 where writes have stopped
 * @param {number} members
 */
export function survivalText(failures, members) {
  if (failures < 0) return "writes have stopped: no majority is online";
  if (failures > 0) return `${failures} more ${failures === 1 ? "node" : "nodes"} may fail`;
  return members < 3 ? "three nodes make it highly available" : "no more node may fail";
}

/**
 * "250m" and "1.2 GiB" from the quantities of metrics.k8s.io.
 * @param {{ cpu: string, memory: string }} usage
 */
export function usageText({ cpu, memory }) {
  const units = /** @type {Record<string, number>} */ ({ n: 1e-6, u: 1e-3, m: 1, "": 1000 });
  const millicores = Math.round(parseFloat(cpu) * (units[cpu.replace(/[\d.]+/, "")] ?? 0));
  const sizes = /** @type {Record<string, number>} */ ({ "": 1, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 });
  const mebibytes = (parseFloat(memory) * (sizes[memory.replace(/[\d.]+/, "")] ?? 0)) / 1024 ** 2;
  const size = mebibytes < 1024 ? `${Math.round(mebibytes)} MiB` : `${(mebibytes / 1024).toFixed(1)} GiB`;
  return `${millicores}m, ${size}`;
}
