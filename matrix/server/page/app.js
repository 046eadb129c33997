// The page: a bar, one view at a time chosen by the URL, details beside it, and what is said when there is no server.
//
// A view is a class: `new View(host, context)`, `show(params)` whenever the URL says so, `destroy()`. `context` is what
// views share; `navigate` is the only way a view changes the URL.

import { Connection } from "./connection.js";
import { Details } from "./details.js";
import { element } from "./dom.js";
import * as format from "./format.js";
import { Gate } from "./gate.js";
import { Keys } from "./keys.js";
import * as location from "./location.js";
import { theme } from "./theme.js";
import { VIEWS, load } from "./views.js";

const byId = (id) => document.getElementById(id);
const STATES = { open: "Connected", connecting: "Connecting", lost: "Disconnected", refused: "No access" };

class App {
  constructor(token) {
    this.main = byId("main");
    this.current = { name: "", view: undefined };
    this.shown = 0;
    const scheme = window.location.protocol === "https:" ? "wss:" : "ws:";
    this.connection = new Connection(`${scheme}//${window.location.host}/`, token);
    this.context = {
      connection: this.connection,
      navigate: (view, params, options) => this.navigate(view, params, options),
      link: (view, params) => location.fragment({ view, ...params }),
      openEvent: (id) => this.open({ event: id }),
      openRow: (row) => this.details.showRow(row),
      toast,
      format,
      theme,
    };
    this.keys = new Keys(this.context, () => this.current);
    this.context.keys = this.keys;
    this.details = new Details(byId("details"), this.context, () => this.open({ event: "" }));
    this.gate = new Gate(byId("gate"), this.connection);
  }

  start() {
    this.#bar();
    this.connection.addEventListener("state", () => this.#state());
    this.#state();
    for (const event of ["hashchange", "popstate"]) window.addEventListener(event, () => this.route());
    theme.addEventListener("change", () => this.#writeTheme());
    this.route();
  }

  /** Go to a view. Without `replace` it is shown anew; with it, and in the same view, only the URL changes. */
  navigate(view, params = {}, { replace = false } = {}) {
    const isSame = view === this.current.name;
    const { event, theme: look } = location.read();
    location.write({ view, ...params, event: isSame ? event : "", theme: look }, { replace });
    if (!replace || !isSame) this.route();
  }

  /** Open the details of an event, or close them; it stands in the URL. */
  open({ event }) {
    location.write({ ...location.read(), event }, { replace: true });
    this.details.show(event);
  }

  /** Show what the URL says. */
  async route() {
    const { view = "query", event = "", theme: look, token, ...params } = location.read();
    if (token !== undefined) this.#takeToken();
    if (look !== undefined) theme.choose(look);
    const name = view in VIEWS ? view : "query";
    const turn = (this.shown += 1);
    this.wanted = name;
    this.#mark(name);
    this.details.show(event);
    try {
      if (name !== this.current.name) await this.#change(name, turn);
      if (turn === this.shown) await this.current.view.show(params);
    } catch (error) {
      if (turn === this.shown && error.code !== "cancelled") this.#failed(name, error);
    }
  }

  async #change(name, turn) {
    const View = await load(name);
    if (turn !== this.shown) return;
    this.current.view?.destroy();
    this.details.viewChanged();
    const host = element("section", { class: `view view-${name}` });
    this.main.replaceChildren(host);
    this.current = { name, view: new View(host, this.context) };
  }

  #failed(name, error) {
    console.warn(error);
    this.current.view?.destroy();
    this.current = { name: "", view: undefined };
    const again = element("button", { class: "button", type: "button", onclick: () => this.route() }, "Try again");
    const words = error.fields ? error.message : `The view did not load (${error.message}). Is the server still there?`;
    this.main.replaceChildren(
      element(
        "div",
        { class: "empty", role: "alert" },
        element("strong", {}, `${VIEWS[name].title} cannot be shown`),
        words,
        again,
      ),
    );
  }

  #takeToken() {
    this.connection.reconnect(location.takeToken());
  }

  #bar() {
    byId("views").append(
      ...Object.entries(VIEWS).map(([name, { title }]) =>
        element("a", { href: location.fragment({ view: name }), dataset: { view: name } }, title),
      ),
    );
    byId("theme").addEventListener("click", () => theme.toggle());
    byId("help").addEventListener("click", () => this.keys.help());
    byId("state").addEventListener("click", () => this.connection.state !== "open" && this.connection.reconnect());
  }

  #mark(name) {
    for (const link of byId("views").children) {
      if (link.dataset.view === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = [VIEWS[name].title, this.connection.welcome?.store, "Matrix"].filter(Boolean).join(" - ");
  }

  #state() {
    const { state, welcome } = this.connection;
    byId("state").dataset.state = state;
    byId("state-text").textContent = STATES[state];
    byId("store").textContent = welcome?.store ?? "";
    if (state === "open") this.#mark(this.wanted ?? "query");
  }

  #writeTheme() {
    if (theme.chosen) location.write({ ...location.read(), theme: theme.chosen }, { replace: true });
  }
}

/** A short remark that goes away by itself. */
function toast(text) {
  const shown = element("div", { class: "toast" }, text);
  byId("toasts").append(shown);
  setTimeout(() => shown.remove(), 4000);
}

/** The token of the link or of this tab, else of another tab; without any the page asks for one. */
async function tokenToUse() {
  const token = location.takeToken() || (await location.tokenOfOtherTab());
  if (token) location.keepToken(token);
  return token;
}

new App(await tokenToUse()).start();
