/**
 * Elements without markup in strings, and tables that change only what has changed: a row keeps its
 * elements as long as its key lives, so that focus and selection survive every update.
 */

/**
 * @param {string} tag
 * @param {Record<string, string | boolean | ((event: Event) => void)>} [attributes] functions are listeners
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (typeof value === "boolean") made.toggleAttribute(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/**
 * A cell: text, or text with a class, or elements made anew whenever `signature` changes.
 * @typedef {string | { text: string, className: string } | { signature: string, make: () => Node[] }} Cell
 */

export class Table {
  element = element("table");
  #head = element("thead");
  #body = element("tbody");
  /** @type {Map<string, { row: HTMLTableRowElement, signatures: string[] }>} */
  #rows = new Map();
  /** @type {string[]} */
  #columns = [];

  /** @param {string} caption for those who hear the page */
  constructor(caption) {
    this.element.setAttribute("aria-label", caption);
    this.element.append(this.#head, this.#body);
  }

  /**
   * @param {string[]} columns
   * @param {{ key: string, cells: Cell[] }[]} rows
   */
  update(columns, rows) {
    if (columns.join("\n") !== this.#columns.join("\n")) {
      this.#columns = columns;
      this.#rows.clear();
      const titles = columns.map((name) => element("th", { scope: "col" }, name));
      this.#head.replaceChildren(element("tr", {}, ...titles));
    }
    const kept = new Map();
    let next = /** @type {Element | null} */ (this.#body.firstElementChild);
    for (const { key, cells } of rows) {
      const entry = this.#rows.get(key) ?? this.#newRow();
      kept.set(key, entry);
      this.#fill(entry, cells);
      if (next !== null && entry.row === next) next = next.nextElementSibling;
      else this.#body.insertBefore(entry.row, next);
    }
    while (next !== null) {
      const gone = next;
      next = next.nextElementSibling;
      gone.remove();
    }
    this.#rows = kept;
  }

  #newRow() {
    const cells = this.#columns.map((name) => element("td", { "data-label": name }));
    return { row: element("tr", {}, ...cells), signatures: [] };
  }

  /**
   * @param {{ row: HTMLTableRowElement, signatures: string[] }} entry
   * @param {Cell[]} cells
   */
  #fill(entry, cells) {
    cells.forEach((cell, at) => {
      const signature = typeof cell === "string" ? cell : JSON.stringify(cell);
      const place = entry.row.cells[at];
      if (entry.signatures[at] === signature || place === undefined) return;
      entry.signatures[at] = signature;
      if (typeof cell === "string") place.replaceChildren(cell);
      else if ("make" in cell) place.replaceChildren(...cell.make());
      else place.replaceChildren(element("span", { class: cell.className }, cell.text));
    });
  }
}

/**
 * Calls `draw` soon, once for any number of requests.
 * @param {() => void} draw
 */
export function coalesced(draw) {
  let isPlanned = false;
  return () => {
    if (isPlanned) return;
    isPlanned = true;
    setTimeout(() => {
      isPlanned = false;
      draw();
    }, 100);
  };
}
