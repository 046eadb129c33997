// The left of the conversations: which simulation, a search, an order, and the list itself.
//
// What always holds: what is chosen here goes into the URL through `go(changes)`; a list is asked for again only when
// another simulation, query or text is looked for.

import { element } from "../dom.js";
import { countText } from "../format.js";
import { ConversationList } from "./list.js";
import * as sources from "./sources.js";

const ORDERS = [
  ["first", "First begun"],
  ["longest", "Longest"],
  ["latest", "Latest end"],
];

/** `go(changes)` changes the URL, `again()` shows anew what it says, `choose(what)` shows a transcript, `pick(id)` another simulation. */
export class Side {
  constructor(host, { connection, go, again, choose, pick }) {
    Object.assign(this, { connection, go, again });
    this.params = {};
    this.listed = undefined;
    this.simulations = new Map();
    this.picker = element("select", {
      class: "field",
      "aria-label": "Simulation",
      onchange: () => pick(this.picker.value),
    });
    this.search = this.#searchField();
    this.order = element(
      "select",
      { class: "order", "aria-label": "Order", onchange: () => this.#reorder() },
      ORDERS.map(([value, text]) => element("option", { value }, text)),
    );
    this.count = element("span", { class: "list-count" });
    this.findIn = element("button", { class: "find-in", type: "button", hidden: true, onclick: () => this.#find() });
    this.whole = element(
      "button",
      { class: "whole-row", type: "button", hidden: true, onclick: () => choose({ of: "all" }) },
      element("span", { class: "row-title" }, "Everything in this simulation"),
      element("span", { class: "row-facts" }, "all messages and events in order"),
    );
    this.loading = element("div", { class: "loading", hidden: true });
    this.box = element("div", { class: "list-box" });
    host.append(this.#arranged());
    this.list = new ConversationList(this.box, { onChoose: (conversation) => choose({ conversation }) });
  }

  destroy() {
    this.listing?.abort();
    this.list.destroy();
  }

  #searchField() {
    return element("input", {
      class: "field",
      type: "search",
      placeholder: "Search agents, or what was said",
      "aria-label": "Search conversations",
      spellcheck: "false",
      oninput: () => this.#type(),
      onkeydown: (event) => this.#key(event),
    });
  }

  #arranged() {
    const line = element("div", { class: "side-line" }, this.count, element("span", { class: "spring" }), this.order);
    const head = element("div", { class: "side-head" }, this.picker, this.search, this.findIn, line);
    return element(
      "nav",
      { class: "conversation-side", "aria-label": "Conversations" },
      head,
      this.loading,
      this.whole,
      this.box,
    );
  }

  /** The list that the URL speaks of. */
  async show(params) {
    this.params = params;
    const { simulation = "", query = "", found = "", search = "", order = "first" } = params;
    const wanted = JSON.stringify([simulation, query, found]);
    if (wanted !== this.listed) {
      await this.#ask();
      this.listed = wanted;
      this.search.value = found || search;
    }
    this.order.value = order;
    this.#arrange();
  }

  /** Mark what is shown. */
  mark({ conversation = "", of = "" }) {
    this.list.choose(conversation);
    this.whole.classList.toggle("is-chosen", of === "all");
  }

  /** The one simulation that is looked at, if it is one. */
  get simulation() {
    if (this.params.simulation) return this.params.simulation;
    return this.simulations.size === 1 ? [...this.simulations.keys()][0] : undefined;
  }

  async #ask() {
    this.listing?.abort();
    this.listing = new AbortController();
    const { signal } = this.listing;
    this.count.textContent = "Loading…";
    this.loading.hidden = false;
    try {
      const [result, simulations] = await Promise.all([
        sources.conversations(this.connection, this.params, signal),
        sources.simulations(this.connection, signal),
      ]);
      const isOfMany = !this.params.simulation && simulations.length > 1;
      this.simulations = new Map(simulations.map((one) => [one.id, one]));
      this.#fillPicker(simulations);
      this.list.take(result, { simulations: this.simulations, isOfMany });
      // How goals came out is a remark in the list: it comes when it comes.
      if (isOfMany)
        sources.outcomes(this.connection, signal).then((outcomes) => this.list.tell(outcomes), console.warn);
    } finally {
      if (this.listing.signal === signal) this.loading.hidden = true;
    }
  }

  #fillPicker(simulations) {
    const { simulation = "", query = "" } = this.params;
    const words = ({ id, name, status, parent }) =>
      [
        id.length > 20 ? `${id.slice(0, 8)}…` : id,
        name !== id && name,
        parent && `fork of ${parent}`,
        status !== "finished" && status,
      ]
        .filter(Boolean)
        .join("  ");
    const options = simulations.map((one) => element("option", { value: one.id }, words(one)));
    const every = query ? "From a query" : `All simulations (${countText(simulations.length)})`;
    if (simulations.length > 1 || query) options.unshift(element("option", { value: "" }, every));
    this.picker.replaceChildren(...options);
    this.picker.value = simulation || (options.length === 1 ? simulations[0].id : "");
    this.picker.title = query;
  }

  #arrange() {
    this.list.arrange({ search: this.params.found ? "" : this.search.value, order: this.order.value });
    const total = this.list.result?.length ?? 0;
    const shown = this.list.order.length;
    const words = `${countText(total)} ${total === 1 ? "conversation" : "conversations"}`;
    this.count.textContent = shown === total ? words : `${countText(shown)} of ${countText(total)}`;
    this.whole.hidden = !this.simulation;
    const text = this.search.value.trim();
    this.findIn.hidden = !text || Boolean(this.params.query);
    this.findIn.textContent = this.params.found ? `Said: “${text}”. Clear` : `Find “${text}” in what was said  ↵`;
  }

  #type() {
    if (this.params.found) return this.#unfind();
    this.params = this.go({ search: this.search.value });
    return this.#arrange();
  }

  #key(event) {
    if (event.key === "Enter") this.#find();
    else if (event.key === "ArrowDown") this.list.scroller.box.focus();
    else if (event.key === "Escape" && this.search.value) {
      event.preventDefault();
      this.search.value = "";
      this.#type();
    }
  }

  /** Look for the text in what was said; when that is done already, no more. */
  #find() {
    if (this.params.found) {
      this.search.value = "";
      return this.#unfind();
    }
    const found = this.search.value.trim();
    if (!found) return undefined;
    this.go({ found, search: "", conversation: "", message: "" });
    return this.again();
  }

  #unfind() {
    this.go({ found: "", search: this.search.value });
    return this.again();
  }

  #reorder() {
    this.params = this.go({ order: this.order.value });
    this.#arrange();
    this.list.choose(this.params.conversation ?? "");
  }
}
