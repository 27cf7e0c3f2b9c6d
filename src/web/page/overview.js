/** The overview: high availability from Trivet's own status, and the nodes. */
import { ApiError, getJson } from "./api.js";
import { Table, coalesced, element } from "./dom.js";
import { LiveTable, pause } from "./live-table.js";
import { ageOf, survivalText, usageText } from "./summaries.js";
import { inOrder } from "./view.js";

const statusEveryMs = 2_000;
const metricsEveryMs = 15_000;

/** @type {import("./view.js").View} */
export const overview = {
  title: "Overview",
  show({ main, kinds, report }) {
    /** @type {any} */
    let status;
    /** @type {Map<string, string>} */
    let usage = new Map();
    let statusTrouble = "";
    const stopped = new AbortController();
    const cards = element("dl", { class: "cards" });
    const decisions = element("ol", { class: "decisions" });
    const table = new Table("Nodes");
    const note = element("p", { class: "quiet" });
    main.replaceChildren(
      element("h1", {}, "Overview"),
      cards,
      note,
      element("h2", {}, "Nodes"),
      table.element,
      element("h2", {}, "Latest changes of roles"),
      decisions,
    );
    const draw = () => {
      report(live.trouble);
      const nodes = new Map([...live.rows.values()].map(({ object }) => [object.metadata.name, object]));
      const ha = status?.highAvailability;
      note.textContent = statusTrouble;
      cards.replaceChildren(...cardsOf(ha, nodes));
      drawNodes(table, nodes, ha, usage);
      const texts = (ha?.decisions ?? []).toReversed().slice(0, 10);
      decisions.replaceChildren(
        ...(texts.length === 0 ? [element("li", { class: "quiet" }, "none")] : texts.map(decisionItem)),
      );
    };
    const live = new LiveTable({
      path: "api/v1/nodes",
      include: "Object",
      canWatch: true,
      onChange: coalesced(draw),
    });
    const every = async (/** @type {number} */ ms, /** @type {() => Promise<void>} */ work) => {
      while (!stopped.signal.aborted) {
        if (!document.hidden) await work();
        if (!stopped.signal.aborted) draw();
        await pause(ms, stopped.signal);
      }
    };
    void every(statusEveryMs, async () => {
      try {
        status = await getJson("trivet/v1/status", { signal: stopped.signal });
        statusTrouble = "";
      } catch (error) {
        status = undefined;
        statusTrouble =
          error instanceof ApiError
            ? `High availability can't be shown: ${error.message}`
            : "The server does not answer.";
      }
    });
    if (kinds.some((each) => each.group === "metrics.k8s.io"))
      void every(metricsEveryMs, async () => {
        usage = await readUsage(stopped.signal);
      });
    return () => {
      stopped.abort();
      live.stop();
    };
  },
};

/**
 * @param {any} ha
 * @param {Map<string, any>} nodes
 */
function cardsOf(ha, nodes) {
  const ready = [...nodes.values()].filter((each) => conditionOf(each) === "Ready").length;
  const cards = [card("Nodes ready", `${ready} of ${nodes.size}`, "", ready === nodes.size ? "good" : "bad")];
  if (ha === undefined) return cards;
  const count = (/** @type {string} */ role) =>
    ha.members.filter((/** @type {any} */ each) => each.role === role).length;
  const failures = ha.failuresToQuorumLoss;
  return [
    ...cards,
    card(
      "High availability",
      ha.enabled ? "enabled" : "not enabled",
      survivalText(failures, ha.members.length),
      failures < 0 ? "bad" : ha.enabled ? "good" : "warn",
    ),
    card("Leader", ha.leader === "" ? "none" : ha.leader, `term ${ha.term}`, ha.leader === "" ? "bad" : ""),
    card("Voters", String(count("voter")), `${count("standby")} standby, ${count("spare")} spare`, ""),
    card("Revision", String(ha.revision), "of the datastore", ""),
  ];
}

/**
 * @param {string} title
 * @param {string} value
 * @param {string} detail
 * @param {string} className
 */
function card(title, value, detail, className) {
  return element(
    "div",
    {},
    element("dt", {}, title),
    element("dd", { class: className }, value, element("small", {}, detail)),
  );
}

/** @param {{ time: string, text: string }} decision */
function decisionItem({ time, text }) {
  return element("li", {}, element("time", { datetime: time }, new Date(time).toLocaleString()), text);
}

/**
 * One row for each node and each member of the datastore; usually the same.
 * @param {Table} table
 * @param {Map<string, any>} nodes
 * @param {any} ha
 * @param {Map<string, string>} usage
 */
function drawNodes(table, nodes, ha, usage) {
  const members = new Map((ha?.members ?? []).map((/** @type {any} */ each) => [each.name, each]));
  const names = [...new Set([...nodes.keys(), ...members.keys()])].sort(inOrder);
  const hasUsage = usage.size > 0;
  table.update(
    [
      "Name",
      "State",
      "Roles",
      "Datastore",
      "Lag",
      "Address",
      "Version",
      ...(hasUsage ? ["In use"] : []),
      "Age",
    ],
    names.map((name) => {
      const node = nodes.get(name);
      const member = members.get(name);
      const address = node?.status?.addresses?.find(
        (/** @type {any} */ each) => each.type === "InternalIP",
      )?.address;
      return {
        key: name,
        cells: [
          name,
          stateCell(node),
          rolesOf(node),
          memberCell(member, ha?.leader),
          member === undefined || member.lagEntries < 0 ? "" : String(member.lagEntries),
          address ?? member?.address ?? "",
          node?.status?.nodeInfo?.kubeletVersion ?? "",
          ...(hasUsage ? [usage.get(name) ?? ""] : []),
          ageOf(node?.metadata.creationTimestamp, Date.now()),
        ],
      };
    }),
  );
}

/** @param {any} node */
function stateCell(node) {
  if (node === undefined) return { text: "no Node object", className: "quiet" };
  const state = conditionOf(node) + (node.spec?.unschedulable === true ? ", cordoned" : "");
  return { text: state, className: state === "Ready" ? "good" : state === "NotReady" ? "bad" : "warn" };
}

/** @param {any} node */
function conditionOf(node) {
  const ready = (node.status?.conditions ?? []).find((/** @type {any} */ each) => each.type === "Ready");
  return ready === undefined || ready.status === "Unknown"
    ? "NotReady"
    : ready.status === "True"
      ? "Ready"
      : "NotReady";
}

/** @param {any} node */
function rolesOf(node) {
  const prefix = "node-role.kubernetes.io/";
  const labels = Object.keys(node?.metadata.labels ?? {}).filter((each) => each.startsWith(prefix));
  if (node === undefined) return "";
  return labels.length === 0 ? "worker" : labels.map((each) => each.slice(prefix.length)).join(", ");
}

/**
 * @param {any} member
 * @param {string | undefined} leader
 */
function memberCell(member, leader) {
  if (member === undefined) return "";
  const text = member.role + (member.name === leader ? ", leader" : "") + (member.online ? "" : ", offline");
  return { text, className: member.online ? "good" : "bad" };
}

/** @param {AbortSignal} signal */
async function readUsage(signal) {
  try {
    const { items } = await getJson("apis/metrics.k8s.io/v1beta1/nodes", { signal });
    return new Map(items.map((/** @type {any} */ each) => [each.metadata.name, usageText(each.usage)]));
  } catch {
    // The column is an extra: without permission or add-on it is not there.
    return new Map();
  }
}
