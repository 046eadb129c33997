// The panel beside a view: one event, or one row, with its data as a tree and the ways on from there.

import { element } from "./dom.js";
import { cellText } from "./format.js";
import { tree } from "./tree.js";

const FIRST = ["kind", "agent", "to", "time", "goal", "role", "state", "cause", "turn", "wall"];
const KNOWN = ["id", "simulation", "seq", "peer", "data"];
const OF_EVENTS = new Set(["cause", "reply_to", "origin", "state"]);
const quoted = (text) => JSON.stringify(text);

/** What a row is, read off its columns: an aggregate or a selection is nothing that has ways on. */
const RELATIONS = [
  ["events", ["id", "seq", "kind"]],
  ["goals", ["id", "name", "agent", "status", "reason"]],
  ["simulations", ["id", "seed", "took"]],
  ["agents", ["id", "simulation", "role", "status", "turns"]],
  ["conversations", ["id", "simulation", "agents", "messages"]],
  ["chat", ["simulation", "conversation", "messages"]],
];

const relationOf = (row) => RELATIONS.find(([, names]) => names.every((name) => name in row))?.[0];

/** What a goal's end is called, as a question. */
const ENDS = { failed: "Why it failed", cancelled: "Why it was cancelled", succeeded: "How it came to it" };

/** The ways on from a row: [title, view, params]; params may be a function that asks for them. */
function linksOf(row) {
  const { simulation, id } = row;
  switch (relationOf(row)) {
    case "events":
      return [
        ["Causes", "causes", { id }],
        ["Time line", "timeline", { simulation, at: row.time, agent: row.agent }],
        ...(row.to ? [["Conversation", "conversation", { simulation, message: id }]] : []),
      ];
    case "agents":
      return [
        ["Events", "query", { q: `events where simulation = ${quoted(simulation)} and agent = ${quoted(id)}` }],
        ["Time line", "timeline", { simulation, agent: id }],
        ["Conversations", "conversation", { simulation, agent: id }],
      ];
    case "goals":
      return [
        ["Events", "query", { q: `events where goal.id = ${quoted(id)}` }],
        ...(row.status in ENDS ? [[ENDS[row.status], "causes", (connection) => endOf(connection, id)]] : []),
        ["Time line", "timeline", { simulation, at: row.start, agent: row.agent }],
      ];
    case "simulations":
      return [
        ["Events", "query", { q: `events where simulation = ${quoted(id)}` }],
        ["Time line", "timeline", { simulation: id }],
        ["Conversations", "conversation", { simulation: id }],
        ...(row.parent ? [["Compare", "diff", { one: row.parent, other: id }]] : []),
      ];
    case "conversations":
      return [["Conversation", "conversation", { simulation, conversation: id }]];
    case "chat":
      return [["Conversation", "conversation", { simulation, conversation: row.conversation }]];
    default:
      return [];
  }
}

/** The event that ended a goal, as the causes want it. */
async function endOf(connection, goal) {
  const text = "events goal.failed, goal.cancelled, goal.succeeded where goal.id = $goal | limit 1";
  const ends = await connection.query(text, { params: { goal }, page: 1 });
  return { id: ends.length ? ends.get(0, "id") : goal, goal };
}

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
      if (result.length === 0)
        this.#open(
          id,
          element("div", { class: "empty" }, element("strong", {}, "No such event"), `The store has no event ${id}.`),
        );
      else this.#event(id, result);
    } catch (error) {
      if (error.code !== "cancelled")
        this.#open(
          id,
          element("div", { class: "trouble", role: "alert" }, element("strong", {}, "Not to be had"), error.message),
        );
    }
  }

  /** Another view has come: a row that stood here belonged to the one before. */
  viewChanged() {
    if (!this.shown && !this.host.hidden) this.#hide();
  }

  /** Show any row of a result: {columns, row, number}. */
  showRow({ columns, row, number }) {
    this.fetching?.abort();
    if (this.shown) this.close();
    this.shown = "";
    const entries = columns
      .filter(({ name }) => name !== "data" && row[name] !== null)
      .map(({ name, type }) => [name, row[name], type]);
    const title = row.id ?? `Row ${number + 1}`;
    this.#open(title, ...this.#body(entries, row.data, linksOf(row)));
  }

  #event(id, result) {
    const row = result.row(0);
    const types = Object.fromEntries(result.columns.map(({ name, type }) => [name, type]));
    const others = result.columns
      .map(({ name }) => name)
      .filter((name) => !FIRST.includes(name) && !KNOWN.includes(name));
    const entries = [...FIRST, ...others]
      .filter((name) => row[name] !== null && row[name] !== undefined)
      .map((name) => [name, row[name], types[name]]);
    this.#open(id, ...this.#body(entries, row.data, linksOf(row)));
  }

  #body(entries, data, links) {
    const ways = links.map(([title, view, params]) =>
      typeof params === "function"
        ? element("button", { class: "button", type: "button", onclick: () => this.#go(view, params) }, title)
        : element("a", { class: "button", href: this.context.link(view, params) }, title),
    );
    const isBranch = ([, value]) => value !== null && typeof value === "object";
    const trees = entries.filter(isBranch).map(([name, value]) => [name, value]);
    if (data !== null && data !== undefined) trees.push(["Data", data]);
    return [
      ways.length > 0 && element("div", { class: "details-ways" }, ways),
      element(
        "dl",
        { class: "details-fields" },
        entries
          .filter((entry) => !isBranch(entry))
          .flatMap(([name, value, type]) => [
            element("dt", {}, name),
            element("dd", {}, this.#value(name, value, type)),
          ]),
      ),
      typeof data?.text === "string" && element("p", { class: "details-text" }, data.text),
      ...trees.map(([name, value]) =>
        element("section", { class: "details-data" }, element("h2", {}, name), tree(value, name)),
      ),
    ];
  }

  async #go(view, params) {
    try {
      this.context.navigate(view, await params(this.context.connection));
    } catch (error) {
      this.context.toast(error.message);
    }
  }

  #value(name, value, type) {
    const text = cellText(value, type);
    if (OF_EVENTS.has(name) && typeof value === "string" && /:\d+$/.test(value)) {
      return element("button", { class: "link", type: "button", onclick: () => this.context.openEvent(value) }, text);
    }
    return element("span", { class: name === "status" && `status-${value}` }, text);
  }

  #open(title, ...children) {
    if (this.host.hidden) this.before = document.activeElement;
    this.host.hidden = false;
    this.host.replaceChildren(
      element(
        "header",
        { class: "details-head" },
        element("strong", {}, title),
        element("span", { class: "spring" }),
        element(
          "button",
          {
            class: "icon-button",
            type: "button",
            "aria-label": "Close",
            title: "Close (Esc)",
            onclick: () => this.#closed(),
          },
          "\u00d7",
        ),
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
