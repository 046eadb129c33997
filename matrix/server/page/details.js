// The panel beside a view: one event, or one row, with its data as a tree and the ways on from there.

import { element } from "./dom.js";
import { cellText } from "./format.js";
import { tree } from "./tree.js";

const FIRST = ["kind", "agent", "to", "time", "goal", "role", "state", "cause", "turn", "wall"];

/** What stands in the panel; `close()` takes it away, also out of the URL. */
export class Details {
  constructor(host, context, close) {
    this.host = host;
    this.context = context;
    this.close = close;
    this.shown = "";
    this.before = undefined;
    context.closeDetails = () => this.#closed();
  }

  /** Show an event by its id; "" closes. */
  async show(id) {
    if (id === this.shown) return;
    this.shown = id;
    this.fetching?.abort();
    if (!id) {
      this.#hide();
      return;
    }
    this.fetching = new AbortController();
    this.#open(id, element("div", { class: "loading" }));
    try {
      const { signal } = this.fetching;
      const result = await this.context.connection.query("events where id = $id", { params: { id }, page: 1, signal });
      if (result.length === 0) this.#open(id, element("div", { class: "empty" }, element("strong", {}, "No such event"), `The store has no event ${id}.`));
      else this.#event(id, result);
    } catch (error) {
      if (error.code !== "cancelled") this.#open(id, element("div", { class: "trouble", role: "alert" }, element("strong", {}, "Not to be had"), error.message));
    }
  }

  /** Show any row: {title, entries: [[name, value, type]], data, links}. */
  showRow({ title, entries, data, links = [] }) {
    if (this.shown) this.context.navigateEvent?.("");
    this.shown = "";
    this.fetching?.abort();
    this.#open(title, ...this.#body(entries, data, links));
  }

  #event(id, result) {
    const row = result.row(0);
    const names = [...FIRST, ...result.columns.map(({ name }) => name).filter((name) => !FIRST.includes(name) && !["data", "id", "simulation", "seq", "peer"].includes(name))];
    const types = Object.fromEntries(result.columns.map(({ name, type }) => [name, type]));
    const entries = names.filter((name) => row[name] !== null && row[name] !== undefined).map((name) => [name, row[name], types[name]]);
    this.#open(id, ...this.#body(entries, row.data, this.#links(row)));
  }

  #links(row) {
    const { simulation } = row;
    const links = [["Causes", "causes", { event: row.id }], ["Time line", "timeline", { simulation, at: row.time, agent: row.agent }]];
    if (row.to) links.push(["Conversation", "conversation", { simulation, message: row.id }]);
    return links;
  }

  #body(entries, data, links) {
    const ways = links.map(([title, view, params]) => element("a", { class: "button", href: this.context.link(view, params) }, title));
    return [
      ways.length > 0 && element("div", { class: "details-ways" }, ways),
      element("dl", { class: "details-fields" }, entries.flatMap(([name, value, type]) => [
        element("dt", {}, name), element("dd", {}, this.#value(name, value, type)),
      ])),
      data !== null && data !== undefined && element("section", { class: "details-data" }, element("h2", {}, "Data"), tree(data)),
    ];
  }

  #value(name, value, type) {
    const text = cellText(value, type);
    if (name === "cause" || name === "reply_to" || name === "origin") {
      return element("button", { class: "link", type: "button", onclick: () => this.context.openEvent(value) }, text);
    }
    return element("span", { class: `status-${name === "status" ? value : "none"}` }, text);
  }

  #open(title, ...children) {
    if (this.host.hidden) this.before = document.activeElement;
    this.host.hidden = false;
    this.host.replaceChildren(
      element(
        "header", { class: "details-head" }, element("span", { class: "mono" }, title), element("span", { class: "spring" }),
        element("button", { class: "icon-button", type: "button", "aria-label": "Close", title: "Close (Esc)", onclick: () => this.#closed() }, "\u00d7"),
      ),
      element("div", { class: "details-body" }, ...children.filter(Boolean)),
    );
  }

  #closed() {
    if (this.host.hidden) return false;
    this.#hide();
    if (this.shown) this.close();
    return true;
  }

  #hide() {
    const hadFocus = this.host.contains(document.activeElement);
    this.host.hidden = true;
    this.host.replaceChildren();
    if (hadFocus) this.before?.focus();
  }
}
