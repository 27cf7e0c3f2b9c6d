/**
 * The page: who is here, which view and namespace are chosen (the address says so), light or dark. The
 * views do the rest.
 */
import { ApiError, discover, setToken, token, whoAmI } from "./api.js";
import { element } from "./dom.js";
import { events } from "./events.js";
import { LiveTable } from "./live-table.js";
import { overview } from "./overview.js";
import { pods } from "./pods.js";
import { resources } from "./resources.js";
import { inOrder } from "./view.js";
import { workloads } from "./workloads.js";

/** @type {Record<string, import("./view.js").View>} */
const views = { overview, workloads, pods, events, resources };
const place = {
  header: byId("top"),
  views: byId("views"),
  namespace: /** @type {HTMLSelectElement} */ (byId("namespace")),
  connection: byId("connection"),
  user: byId("user"),
  theme: byId("theme"),
  logout: byId("logout"),
  main: byId("main"),
};

/** @type {import("./api.js").Kind[]} */
let kinds = [];
/** @type {() => void} */
let leave = () => undefined;

setUpTheme();
setUpKeys();
await enter();

async function enter() {
  place.main.replaceChildren(element("p", { class: "message" }, "Loading …"));
  try {
    const name = await whoAmI();
    if (name === undefined) {
      askForToken(token() === undefined ? "" : "This token is not valid, or not valid any more.");
      return;
    }
    kinds = await discover();
    place.user.textContent = name;
    place.user.title = name;
  } catch (error) {
    askForToken(error instanceof ApiError ? error.message : "The server does not answer.");
    return;
  }
  place.header.hidden = false;
  place.logout.hidden = token() === undefined;
  place.logout.onclick = () => {
    setToken(undefined);
    location.reload();
  };
  place.views.replaceChildren(
    ...Object.entries(views).map(([name, view]) => element("a", { href: `#${name}` }, view.title)),
  );
  followNamespaces();
  place.namespace.onchange = () => {
    location.hash = addressOf(chosen().name, place.namespace.value);
  };
  window.addEventListener("hashchange", show);
  show();
}

function show() {
  leave();
  const { name, view, namespace } = chosen();
  document.title = `${view.title} · Trivet`;
  for (const link of place.views.querySelectorAll("a")) {
    const isHere = link.textContent === view.title;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const [index, link] of [...place.views.querySelectorAll("a")].entries())
    link.setAttribute("href", `#${addressOf(Object.keys(views)[index] ?? name, namespace)}`);
  choose(namespace);
  leave = view.show({ main: place.main, namespace, kinds, report });
}

/** The address's view and namespace: "#pods?namespace=default". */
function chosen() {
  const [name = "", query = ""] = location.hash.slice(1).split("?");
  const namespace = new URLSearchParams(query).get("namespace") ?? "";
  const view = views[name];
  return view === undefined ? { name: "overview", view: overview, namespace } : { name, view, namespace };
}

/**
 * @param {string} name
 * @param {string} namespace
 */
function addressOf(name, namespace) {
  return namespace === "" ? name : `${name}?namespace=${encodeURIComponent(namespace)}`;
}

/** @param {string | undefined} trouble */
function report(trouble) {
  place.connection.textContent = trouble ?? "live";
  place.connection.classList.toggle("lost", trouble !== undefined && !trouble.startsWith("loading"));
}

/** The namespaces, kept current; whoever may not list them can still write one into the address. */
function followNamespaces() {
  const live = new LiveTable({
    path: "api/v1/namespaces",
    include: "Metadata",
    canWatch: false,
    onChange: () => {
      const names = [...live.rows.values()].map(({ object }) => object.metadata.name).sort(inOrder);
      const known = [...place.namespace.options].map((each) => each.value);
      if (names.join() === known.slice(1).join()) return;
      place.namespace.replaceChildren(
        element("option", { value: "" }, "all"),
        ...names.map((each) => element("option", { value: each }, each)),
      );
      choose(chosen().namespace);
    },
  });
}

/** @param {string} namespace */
function choose(namespace) {
  const isKnown = [...place.namespace.options].some((each) => each.value === namespace);
  if (!isKnown) place.namespace.append(element("option", { value: namespace }, namespace || "all"));
  place.namespace.value = namespace;
}

/** @param {string} why */
function askForToken(why) {
  setToken(undefined);
  const field = element("input", {
    id: "token",
    type: "password",
    autocomplete: "off",
    required: true,
    "aria-describedby": "token-help",
  });
  const form = element(
    "form",
    {
      class: "login",
      submit: (event) => {
        event.preventDefault();
        setToken(field.value.trim());
        void enter();
      },
    },
    element("h1", {}, "Trivet"),
    element("p", { class: "bad", role: "alert" }, why),
    element("label", { for: "token" }, "Token"),
    field,
    element("button", { type: "submit", class: "primary" }, "Log in"),
    element(
      "p",
      { id: "token-help", class: "quiet" },
      "This prints one that may look at everything but secrets:",
    ),
    element("code", {}, "kubectl create token trivet-dashboard -n kube-system"),
  );
  place.main.replaceChildren(form);
  field.focus();
}

function setUpTheme() {
  const key = "trivet-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (localStorage.getItem(key) ?? (dark.matches ? "dark" : "light")) === "dark";
  const draw = () => {
    const stored = localStorage.getItem(key);
    if (stored !== null) document.documentElement.dataset["theme"] = stored;
    place.theme.textContent = isDark() ? "Light" : "Dark";
    place.theme.title = `Change to ${isDark() ? "light" : "dark"} colours`;
  };
  place.theme.onclick = () => {
    localStorage.setItem(key, isDark() ? "light" : "dark");
    draw();
  };
  dark.addEventListener("change", draw);
  draw();
}

/** "/" goes to the filter, 1 to 5 to the views. */
function setUpKeys() {
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof Element && event.target.matches("input, select, textarea");
    if (isTyping || event.ctrlKey || event.altKey || event.metaKey) return;
    if (document.querySelector("dialog[open]") !== null || place.header.hidden) return;
    const name = Object.keys(views)[Number(event.key) - 1];
    if (name !== undefined) location.hash = addressOf(name, chosen().namespace);
    else if (event.key === "/") {
      event.preventDefault();
      /** @type {HTMLElement | null} */ (document.querySelector("[data-filter]"))?.focus();
    }
  });
}

/** @param {string} id */
function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}
