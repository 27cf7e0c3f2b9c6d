/** The logs of one pod in a dialog: the last lines of a container, and those that follow. */
import { ApiError, linesOf, request } from "./api.js";
import { element } from "./dom.js";

const tailLines = 200;
const keptLinesMax = 5_000;
const drawEveryMs = 100;

/** @param {{ namespace: string, name: string, containers: string[] }} pod */
export function openLogs({ namespace, name, containers }) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("logs"));
  const output = element("pre", { tabindex: "0", "aria-label": "Log" });
  const state = element("span", { class: "quiet", role: "status" });
  let reading = new AbortController();
  const read = async () => {
    reading.abort();
    reading = new AbortController();
    const { signal } = reading;
    output.replaceChildren();
    state.textContent = "loading …";
    const query = new URLSearchParams({ container: container.value, tailLines: String(tailLines) });
    if (follow.checked) query.set("follow", "true");
    if (previous.checked) query.set("previous", "true");
    const path = `api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/log`;
    try {
      const response = await request(`${path}?${query}`, { accept: "*/*", signal });
      state.textContent = follow.checked ? "following" : "";
      await show(linesOf(response), output, signal);
      if (!signal.aborted) state.textContent = follow.checked ? "ended" : "";
    } catch (error) {
      if (!signal.aborted)
        state.textContent = error instanceof ApiError ? error.message : "the server does not answer";
    }
  };
  const again = () => void read();
  const container = element(
    "select",
    { "aria-label": "Container", change: again },
    ...containers.map((each) => element("option", {}, each)),
  );
  const follow = element("input", { type: "checkbox", checked: true, change: again });
  const previous = element("input", { type: "checkbox", change: again });
  dialog.replaceChildren(
    element(
      "div",
      { class: "bar" },
      element("h2", { id: "logs-title" }, `${namespace}/${name}`),
      container,
      element("label", {}, follow, " follow"),
      element("label", {}, previous, " previous run"),
      state,
      element("button", { type: "button", click: () => dialog.close() }, "Close"),
    ),
    output,
  );
  dialog.addEventListener("close", () => reading.abort(), { once: true });
  dialog.showModal();
  again();
}

/**
 * Appends in batches; scrolls along while the reader is at the end.
 * @param {AsyncIterable<string>} lines
 * @param {HTMLElement} output
 * @param {AbortSignal} signal
 */
async function show(lines, output, signal) {
  /** @type {string[]} */
  let waiting = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const draw = () => {
    timer = undefined;
    if (signal.aborted) return;
    const isAtEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
    output.append(...waiting.map((each) => document.createTextNode(`${each}\n`)));
    waiting = [];
    while (output.childNodes.length > keptLinesMax) output.firstChild?.remove();
    if (isAtEnd) output.scrollTop = output.scrollHeight;
  };
  for await (const line of lines) {
    waiting.push(line);
    timer ??= setTimeout(draw, drawEveryMs);
  }
  clearTimeout(timer);
  draw();
}
