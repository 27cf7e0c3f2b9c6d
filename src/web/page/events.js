/** Events, the latest first, live. */
import { listPath } from "./api.js";
import { Table, coalesced, element } from "./dom.js";
import { LiveTable } from "./live-table.js";
import { ageOf, classOf, lastSeen } from "./summaries.js";
import { filterField, matchesFilter } from "./view.js";

const shownMax = 300;
const redrawMs = 10_000;

/** @type {import("./view.js").View} */
export const events = {
  title: "Events",
  show({ main, namespace, report }) {
    const table = new Table("Events");
    const empty = element("p", { class: "message" }, "No events here.");
    const draw = () => {
      report(live.trouble);
      const rows = [...live.rows.values()]
        .map(({ object }) => object)
        .filter((each) =>
          matchesFilter(filter.value, each.reason ?? "", each.message ?? "", each.involvedObject?.name ?? ""),
        )
        .sort((left, right) => ((lastSeen(left) ?? "") < (lastSeen(right) ?? "") ? 1 : -1))
        .slice(0, shownMax);
      table.update(
        ["Last seen", "Type", "Reason", "Object", "Namespace", "Message", "Count"],
        rows.map((event) => ({
          key: event.metadata.uid,
          cells: [
            ageOf(lastSeen(event), Date.now()),
            { text: event.type ?? "", className: classOf(event.type ?? "") },
            event.reason ?? "",
            `${event.involvedObject?.kind ?? ""}/${event.involvedObject?.name ?? ""}`,
            event.metadata.namespace ?? "",
            event.message ?? "",
            String(event.series?.count ?? event.count ?? 1),
          ],
        })),
      );
      empty.hidden = rows.length > 0 || live.trouble !== undefined;
    };
    const filter = filterField(draw);
    main.replaceChildren(
      element("h1", {}, "Events"),
      element("div", { class: "bar" }, filter),
      table.element,
      empty,
    );
    const live = new LiveTable({
      path: listPath({ group: "", version: "v1", plural: "events", namespaced: true }, namespace),
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
