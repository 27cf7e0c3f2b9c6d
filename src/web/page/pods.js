/** Pods with the words of kubectl get pods, live, and a button for the logs of each. */
import { Table, coalesced, element } from "./dom.js";
import { LiveTable } from "./live-table.js";
import { listPath } from "./api.js";
import { openLogs } from "./logs.js";
import { ageOf, classOf } from "./summaries.js";
import { byName, filterField, matchesFilter } from "./view.js";

const redrawMs = 10_000;

/** @type {import("./view.js").View} */
export const pods = {
  title: "Pods",
  show({ main, namespace, report }) {
    const table = new Table("Pods");
    const empty = element("p", { class: "message" }, "No pods here.");
    const draw = () => {
      report(live.trouble);
      const at = (/** @type {string} */ name) => live.columns.findIndex((each) => each.name === name);
      const [ready, state, restarts] = [at("Ready"), at("Status"), at("Restarts")];
      const rows = [...live.rows.values()]
        .filter(({ object, cells }) =>
          matchesFilter(
            filter.value,
            object.metadata.name,
            object.metadata.namespace,
            object.spec.nodeName ?? "",
            String(cells[state] ?? ""),
          ),
        )
        .sort((left, right) => byName(left.object, right.object));
      table.update(
        ["Name", "Namespace", "Ready", "Status", "Restarts", "Node", "Age", "Logs"],
        rows.map(({ cells, object }) => ({
          key: object.metadata.uid,
          cells: [
            object.metadata.name,
            object.metadata.namespace,
            String(cells[ready] ?? ""),
            { text: String(cells[state] ?? ""), className: classOf(String(cells[state] ?? "")) },
            String(cells[restarts] ?? ""),
            object.spec.nodeName ?? "",
            ageOf(object.metadata.creationTimestamp, Date.now()),
            logsCell(object),
          ],
        })),
      );
      empty.hidden = rows.length > 0 || live.trouble !== undefined;
    };
    const filter = filterField(draw);
    main.replaceChildren(
      element("h1", {}, "Pods"),
      element("div", { class: "bar" }, filter),
      table.element,
      empty,
    );
    const live = new LiveTable({
      path: listPath({ group: "", version: "v1", plural: "pods", namespaced: true }, namespace),
      include: "Object",
      canWatch: true,
      onChange: coalesced(draw),
    });
    const timer = setInterval(draw, redrawMs);
    return () => {
      clearInterval(timer);
      live.stop();
    };
  },
};

/**
 * @param {any} pod
 * @returns {import("./dom.js").Cell}
 */
function logsCell(pod) {
  const { namespace, name } = pod.metadata;
  const containers = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])].map(
    (/** @type {any} */ each) => each.name,
  );
  return {
    signature: containers.join(","),
    make: () => [
      element(
        "button",
        {
          type: "button",
          "aria-label": `Logs of ${name}`,
          click: () => openLogs({ namespace, name, containers }),
        },
        "Logs",
      ),
    ],
  };
}
