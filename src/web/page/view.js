/**
 * What every view is: a title, whether a namespace narrows it, and a function that fills a place and
 * returns how to end it.
 * @typedef {object} Place
 * @property {HTMLElement} main
 * @property {string} namespace "" for all
 * @property {import("./api.js").Kind[]} kinds
 * @property {(trouble: string | undefined) => void} report whether the view is current
 *
 * @typedef {object} View
 * @property {string} title
 * @property {(place: Place) => () => void} show
 */
import { element } from "./dom.js";

/**
 * A text field that narrows a table; "/" brings the keyboard there.
 * @param {() => void} onChange
 */
export function filterField(onChange) {
  const field = element("input", {
    type: "search",
    placeholder: "Filter (/)",
    "aria-label": "Filter rows",
    input: onChange,
  });
  field.dataset["filter"] = "";
  return field;
}

/**
 * @param {string} filter
 * @param {...string} texts
 */
export function matchesFilter(filter, ...texts) {
  const wanted = filter.trim().toLowerCase();
  return wanted === "" || texts.some((each) => each.toLowerCase().includes(wanted));
}

/**
 * The namespace's and the name's order.
 * @param {any} left
 * @param {any} right
 */
export function byName(left, right) {
  return inOrder(
    `${left.metadata.namespace ?? ""}/${left.metadata.name}`,
    `${right.metadata.namespace ?? ""}/${right.metadata.name}`,
  );
}

/**
 * @param {string} left
 * @param {string} right
 */
export function inOrder(left, right) {
  return left < right ? -1 : left > right ? 1 : 0;
}
