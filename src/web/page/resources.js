/** Any kind that discovery lists, custom ones too, with the server's own columns. */
import { listPath } from "./api.js";
import { Table, coalesced, element } from "./dom.js";
import { LiveTable } from "./live-table.js";
import { ageOf } from "./summaries.js";
import { byName, filterField, matchesFilter } from "./view.js";

let lastChoice = "services";

/** @type {import("./view.js").View} */
export const resources = {
  title: "Resources",
  show({ main, namespace, kinds, report }) {
    const idOf = (/** @type {import("./api.js").Kind} */ kind) =>
      kind.group === "" ? kind.plural : `${kind.plural}.${kind.group}`;
    const table = new Table("Objects");
    const empty = element("p", { class: "message" }, "No objects here.");
    /** @type {LiveTable | undefined} */
    let live;
    const draw = () => {
      if (live === undefined) return;
      report(live.trouble);
      const kind = kinds.find((each) => idOf(each) === choice.value);
      const shown = live.columns.flatMap(({ priority }, at) => (priority === 0 ? [at] : []));
      const names = shown.map((at) => live?.columns[at]?.name ?? "");
      const isWide = kind?.namespaced === true && namespace === "";
      const rows = [...live.rows.values()]
        .filter(({ object }) =>
          matchesFilter(filter.value, object.metadata.name, object.metadata.namespace ?? ""),
        )
        .sort((left, right) => byName(left.object, right.object));
      table.update(
        [...(isWide ? ["Namespace"] : []), ...names],
        rows.map(({ cells, object }) => ({
          key: object.metadata.uid ?? `${object.metadata.namespace}/${object.metadata.name}`,
          cells: [
            ...(isWide ? [object.metadata.namespace ?? ""] : []),
            ...shown.map((at, index) =>
              names[index] === "Age"
                ? ageOf(object.metadata.creationTimestamp, Date.now())
                : String(cells[at] ?? ""),
            ),
          ],
        })),
      );
      empty.hidden = rows.length > 0 || live.trouble !== undefined;
    };
    const follow = () => {
      live?.stop();
      const kind = kinds.find((each) => idOf(each) === choice.value);
      if (kind === undefined) return;
      lastChoice = choice.value;
      live = new LiveTable({
        path: listPath(kind, namespace),
        include: "Metadata",
        canWatch: kind.verbs.includes("watch"),
        onChange: coalesced(draw),
      });
    };
    const groups = [...new Set(kinds.map((each) => each.group))];
    const choice = element(
      "select",
      { "aria-label": "Kind", change: follow },
      ...groups.map((group) =>
        element(
          "optgroup",
          { label: group === "" ? "core" : group },
          ...kinds
            .filter((each) => each.group === group)
            .map((each) => element("option", { value: idOf(each) }, each.plural)),
        ),
      ),
    );
    choice.value = lastChoice;
    const filter = filterField(draw);
    main.replaceChildren(
      element("h1", {}, "Resources"),
      element("div", { class: "bar" }, choice, filter),
      table.element,
      empty,
    );
    follow();
    return () => live?.stop();
  },
};
