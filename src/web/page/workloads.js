/**
 * Workloads: whatever discovery lists in the groups of workloads and counts among "all", without those
 * that another one owns. Lists are read again in turns, so that six kinds don't take six connections.
 */
import { ApiError, getJson, listPath } from "./api.js";
import { Table, element } from "./dom.js";
import { pause } from "./live-table.js";
import { ageOf, imagesOf, isOwned, readinessOf } from "./summaries.js";
import { byName, filterField, matchesFilter } from "./view.js";

const workloadGroups = new Set(["apps", "batch"]);
const everyMs = 3_000;

/** @type {import("./view.js").View} */
export const workloads = {
  title: "Workloads",
  show({ main, namespace, kinds, report }) {
    const shown = kinds.filter((each) => workloadGroups.has(each.group) && each.categories.includes("all"));
    /** @type {any[]} */
    let objects = [];
    const stopped = new AbortController();
    const table = new Table("Workloads");
    const draw = () => {
      const rows = objects.filter(({ kind, metadata }) =>
        matchesFilter(filter.value, metadata.name, metadata.namespace, kind),
      );
      table.update(
        ["Name", "Kind", "Namespace", "Ready", "Images", "Age"],
        rows.map((object) => ({
          key: object.metadata.uid,
          cells: [
            object.metadata.name,
            object.kind,
            object.metadata.namespace,
            readinessCell(object),
            imagesOf(object).join(", "),
            ageOf(object.metadata.creationTimestamp, Date.now()),
          ],
        })),
      );
      empty.hidden = rows.length > 0;
    };
    const filter = filterField(draw);
    const empty = element("p", { class: "message" }, "No workloads here.");
    main.replaceChildren(
      element("h1", {}, "Workloads"),
      element("div", { class: "bar" }, filter),
      table.element,
      empty,
    );
    const follow = async () => {
      while (!stopped.signal.aborted) {
        try {
          /** @type {any[]} */
          const found = [];
          for (const kind of shown) {
            const { items } = await getJson(listPath(kind, namespace), { signal: stopped.signal });
            for (const item of items) if (!isOwned(item)) found.push({ ...item, kind: kind.kind });
          }
          objects = found.sort(byName);
          report(undefined);
          draw();
        } catch (error) {
          if (stopped.signal.aborted) return;
          report(error instanceof ApiError ? error.message : "the server does not answer");
        }
        await pause(everyMs, stopped.signal);
      }
    };
    report("loading …");
    void follow();
    return () => stopped.abort();
  },
};

/**
 * @param {any} object
 * @returns {import("./dom.js").Cell}
 */
function readinessCell(object) {
  const readiness = readinessOf(object);
  if (readiness === undefined) return "";
  const { ready, wanted } = readiness;
  const className = ready >= wanted ? "good" : ready === 0 ? "bad" : "warn";
  return {
    signature: `${ready}/${wanted}`,
    make: () => [
      element("span", { class: className }, `${ready}/${wanted}`),
      element("progress", {
        value: String(Math.min(ready, wanted)),
        max: String(Math.max(wanted, 1)),
        "aria-hidden": "true",
      }),
    ],
  };
}
