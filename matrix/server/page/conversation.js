// Conversations: a list to choose from at the left, what was said at the right, with calls and goals between.
//
// The URL says which: `conversation`, or `agent` (all it did and got), or `of=all` (the whole simulation); `simulation`
// or `query` which are in the list; `search`, `found` (in texts), `order`; `message` the chosen one, `at` a moment;
// `without` what is left out (calls, goals, others).

import { ConversationList } from "./conversation/list.js";
import { glanceText } from "./conversation/moments.js";
import * as sources from "./conversation/sources.js";
import { group, Transcript } from "./conversation/transcript.js";
import { element } from "./dom.js";
import { countText } from "./format.js";

const GROUPS = { calls: "Calls", goals: "Goals", others: "Other events" };
const BEFORE = 200; // events shown before the one that was asked for, where only a part can be shown

export class ConversationView {
  constructor(host, context) {
    this.host = host;
    this.context = context;
    this.params = {};
    this.listed = undefined;
    this.told = undefined;
    this.simulations = new Map();
    this.#build();
  }

  destroy() {
    this.asking?.abort();
    this.listing?.abort();
    this.list.destroy();
    this.transcript.destroy();
  }

  /** Show what the URL says; only what changed is asked for again. */
  async show(params) {
    this.params = { ...params };
    if (params.message && !params.conversation && !params.agent && !params.of) await this.#findMessage(params.message);
    await this.#showList();
    if (!this.#isTold()) this.#chooseFirst();
    await this.#showTranscript();
  }

  #isTold() {
    return this.params.conversation || this.params.agent || this.params.of;
  }

  /** Change the URL, and what hangs on it. */
  #go(changes, { replace = true } = {}) {
    this.params = { ...this.params, ...changes };
    this.context.navigate("conversation", this.params, { replace });
  }

  // -- how it is built ---------------------------------------------------------------------------

  #build() {
    this.picker = element("select", { class: "field", "aria-label": "Simulation", onchange: () => this.#pick() });
    this.search = element("input", { class: "field", type: "search", placeholder: "Search agents, or what was said", "aria-label": "Search conversations", spellcheck: "false", oninput: () => this.#type(), onkeydown: (event) => this.#searchKey(event) });
    this.order = element("select", { class: "order", "aria-label": "Order", onchange: () => this.#reorder() }, [["first", "First begun"], ["longest", "Longest"], ["latest", "Latest end"]].map(([value, text]) => element("option", { value }, text)));
    this.count = element("span", { class: "list-count" });
    this.findIn = element("button", { class: "find-in", type: "button", hidden: true, onclick: () => this.#findText() });
    this.all = element("button", { class: "whole-row", type: "button", hidden: true, onclick: () => this.#choose({ of: "all" }) });
    this.listBox = element("div", { class: "list-box" });
    this.listLoading = element("div", { class: "loading", hidden: true });
    const left = element("nav", { class: "conversation-side", "aria-label": "Conversations" }, element("div", { class: "side-head" }, this.picker, this.search, this.findIn, element("div", { class: "side-line" }, this.count, element("span", { class: "spring" }), this.order)), this.listLoading, this.all, this.listBox);
    this.head = element("header", { class: "transcript-head" });
    this.box = element("div", { class: "transcript-box" });
    this.loading = element("div", { class: "loading", hidden: true });
    this.host.append(left, element("div", { class: "transcript-side" }, this.head, this.loading, this.box));
    this.list = new ConversationList(this.listBox, { onChoose: (conversation) => this.#choose({ conversation }) });
    this.transcript = new Transcript(this.box, { context: this.context, onChoose: (message) => this.#go({ message, at: "" }), onMore: (from) => this.#more(from) });
    this.nothing = element("div", { class: "empty transcript-empty", hidden: true });
    this.box.append(this.nothing);
  }

  // -- the list ----------------------------------------------------------------------------------

  async #showList() {
    const { simulation = "", query = "", found = "", search = "", order = "first" } = this.params;
    const wanted = JSON.stringify([simulation, query, found]);
    if (wanted !== this.listed) {
      this.listing?.abort();
      this.listing = new AbortController();
      const { signal } = this.listing;
      this.count.textContent = "Loading…";
      this.listLoading.hidden = false;
      const { connection } = this.context;
      const [result, simulations] = await Promise.all([sources.conversations(connection, this.params, signal), sources.simulations(connection, signal)]);
      const isOfMany = !simulation && simulations.length > 1;
      this.simulations = new Map(simulations.map((one) => [one.id, one]));
      this.listed = wanted;
      this.listLoading.hidden = true;
      this.#fillPicker(simulations);
      this.list.take(result, { simulations: this.simulations, isOfMany });
      if (isOfMany) sources.outcomes(connection, signal).then((outcomes) => this.list.tell(outcomes), () => {});
      this.search.value = found || search;
    }
    this.order.value = order;
    this.list.arrange({ search: found ? "" : this.search.value, order });
    this.#countList();
  }

  #fillPicker(simulations) {
    const { simulation = "", query = "" } = this.params;
    const options = simulations.map(({ id, name, status, parent }) => element("option", { value: id }, [id.length > 20 ? `${id.slice(0, 8)}…` : id, name !== id && name, parent && `fork of ${parent}`, status !== "finished" && status].filter(Boolean).join("  ")));
    const every = element("option", { value: "" }, query ? "From a query" : `All simulations (${countText(simulations.length)})`);
    if (simulations.length > 1 || query) options.unshift(every);
    this.picker.replaceChildren(...options);
    this.picker.value = simulation || (options.length === 1 ? simulations[0].id : "");
    this.picker.title = query;
  }

  #countList() {
    const { result, order } = this.list;
    const total = result?.length ?? 0;
    const isPart = order.length !== total;
    this.count.textContent = isPart ? `${countText(order.length)} of ${countText(total)}` : `${countText(total)} ${total === 1 ? "conversation" : "conversations"}`;
    const one = this.#simulation();
    this.all.hidden = !one;
    this.all.replaceChildren(element("span", { class: "row-title" }, "Everything in this simulation"), element("span", { class: "row-facts" }, "all messages and events in order"));
    const text = this.search.value.trim();
    this.findIn.hidden = !text || Boolean(this.params.query);
    this.findIn.textContent = this.params.found ? `Said: “${text}”. Clear` : `Find “${text}” in what was said  ↵`;
  }

  /** The one simulation that is looked at, if it is one. */
  #simulation() {
    if (this.params.simulation) return this.params.simulation;
    return this.simulations.size === 1 ? [...this.simulations.keys()][0] : undefined;
  }

  #pick() {
    this.context.navigate("conversation", { simulation: this.picker.value });
  }

  #type() {
    if (this.params.found) return this.#unfind();
    this.#go({ search: this.search.value });
    this.list.arrange({ search: this.search.value, order: this.order.value });
    return this.#countList();
  }

  #searchKey(event) {
    if (event.key === "Enter") this.#findText();
    else if (event.key === "ArrowDown") this.list.scroller.box.focus();
    else if (event.key === "Escape" && this.search.value) {
      event.preventDefault();
      this.search.value = "";
      this.#type();
    }
  }

  async #findText() {
    if (this.params.found) {
      this.search.value = "";
      return this.#unfind();
    }
    const found = this.search.value.trim();
    if (!found) return undefined;
    this.#go({ found, search: "", conversation: "", message: "" });
    return this.show(this.params);
  }

  #unfind() {
    this.#go({ found: "", search: this.search.value });
    return this.show(this.params);
  }

  #reorder() {
    this.#go({ order: this.order.value });
    this.list.arrange({ search: this.params.found ? "" : this.search.value, order: this.order.value });
    this.list.choose(this.params.conversation ?? "");
  }

  #chooseFirst() {
    const conversation = this.list.first();
    if (conversation) this.#go({ conversation });
    else if (this.#simulation() && !this.params.query && !this.params.found) this.#go({ of: "all" });
  }

  async #choose(what) {
    this.#go({ conversation: "", agent: "", of: "", message: "", at: "", ...what });
    await this.#showTranscript();
  }

  // -- the transcript ----------------------------------------------------------------------------

  async #findMessage(id) {
    const found = await this.context.connection.query("messages where id = $id | select conversation", { params: { id } });
    if (found.length > 0) this.params.conversation = found.get(0, "conversation");
    else Object.assign(this.params, { of: "all", simulation: id.slice(0, id.lastIndexOf(":")) });
  }

  async #showTranscript() {
    const { conversation = "", agent = "", of = "", simulation = "", message = "", at = "", found = "" } = this.params;
    this.list.choose(conversation);
    this.all.classList.toggle("is-chosen", of === "all");
    const wanted = JSON.stringify([conversation, agent, of, found, agent || of ? simulation : ""]);
    if (wanted !== this.told) {
      this.told = wanted;
      if (!(await this.#tell(message))) return;
    }
    this.#hideGroups();
    if (!message && found) this.transcript.revealText();
    if (message && !this.transcript.choose(message, { middle: true })) this.transcript.choose("");
    else if (!message && at) this.transcript.revealTime(Number(at));
  }

  /** Fetch and show; false when something else was asked for meanwhile. */
  async #tell(message) {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const shown = setTimeout(() => (this.loading.hidden = false), 120);
    try {
      const source = await this.#source(message, asking.signal);
      this.#showSource(source);
      return true;
    } catch (error) {
      if (error.code === "cancelled") return false;
      this.told = undefined;
      throw error;
    } finally {
      clearTimeout(shown);
      if (this.asking === asking) this.loading.hidden = true;
    }
  }

  #source(message, signal) {
    const { connection } = this.context;
    const { conversation, agent, of } = this.params;
    const simulation = this.#simulation();
    if (conversation) return sources.conversation(connection, { simulation: conversation.slice(0, conversation.lastIndexOf("/")), conversation, known: this.list.known(conversation) }, signal);
    if (agent && simulation) return sources.ofAgent(connection, { simulation, agent }, signal);
    if (of === "all" && simulation) return this.#whole(simulation, message, signal);
    return Promise.resolve({ events: [], total: 0 });
  }

  /** A whole simulation; of a large one the part around the message. */
  async #whole(simulation, message, signal) {
    const seq = message ? Number(message.slice(message.lastIndexOf(":") + 1)) : 0;
    const from = seq > 10_000 ? seq - BEFORE : 0;
    return sources.whole(this.context.connection, { simulation, from }, signal);
  }

  async #more(from) {
    const { agent } = this.params;
    const what = { simulation: this.#simulation(), agent, from };
    const source = await (agent ? sources.ofAgent : sources.whole)(this.context.connection, what);
    this.transcript.append(source.events, source);
  }

  #showSource({ events, total, agents, next }) {
    const { conversation } = this.params;
    const isPair = Boolean(conversation) && agents?.length === 2;
    this.transcript.take(events, { agents, people: this.list.people, isPair, next, found: this.params.found });
    this.#showHead({ events, total, agents });
    this.nothing.hidden = events.length > 0;
    const words = this.#isTold() ? ["Nothing was said here", "No event of it is in the log yet."] : ["No conversations", this.params.found ? `Nobody said “${this.params.found}”.` : "Agents of this store have sent no messages."];
    this.nothing.replaceChildren(element("strong", {}, words[0]), words[1]);
  }

  #showHead({ events, total, agents }) {
    if (events.length === 0) {
      this.head.replaceChildren();
      return;
    }
    const { simulation } = events[0];
    const first = events[0].time;
    const last = events.at(-1).time;
    const facts = [this.#simulationFact(simulation), this.params.conversation && `${countText(total)} ${total === 1 ? "message" : "messages"}`, !this.params.conversation && `${countText(total)} events`, `${glanceText(first)} – ${glanceText(last)}`];
    this.head.replaceChildren(
      element("div", { class: "head-words" }, this.#title(agents, simulation), element("div", { class: "head-facts" }, facts.filter(Boolean).map((fact) => element("span", {}, fact)))),
      element("span", { class: "spring" }),
      element("div", { class: "head-tools" }, this.#toggles(), element("a", { class: "button", href: this.context.link("timeline", { simulation, from: String(first), to: String(last) }) }, "Time line"), element("a", { class: "button", href: this.context.link("query", { q: this.#asQuery(simulation) }) }, "As query")),
    );
  }

  #simulationFact(id) {
    const one = this.simulations.get(id);
    const short = id.length > 20 ? `${id.slice(0, 8)}…` : id;
    return element("span", { title: id }, one?.name && one.name !== id ? `${one.name} ${short}` : short, one?.parent && element("span", { class: "faint" }, ` fork of ${one.parent}`));
  }

  #title(agents, simulation) {
    const { agent, of } = this.params;
    if (of === "all") return element("h1", {}, "Everything in this simulation");
    if (agent) return element("h1", {}, "All that ", this.transcript.state.people.name(agent), " did and got");
    const { people } = this.transcript.state;
    const shown = agents.slice(0, 6).map((id) => element("a", { class: "head-agent", title: `all that ${id} did and got`, href: this.context.link("conversation", { simulation, agent: id }) }, people.avatar(id, { small: true }), people.name(id)));
    return element("h1", {}, shown, agents.length > 6 && element("span", { class: "faint", title: agents.join(", ") }, `and ${agents.length - 6} more`));
  }

  #asQuery(simulation) {
    const { conversation, agent, of } = this.params;
    if (conversation) return `messages where conversation = ${JSON.stringify(conversation)}`;
    const start = `events where simulation = ${JSON.stringify(simulation)}`;
    return of === "all" ? start : `${start} and (agent = ${JSON.stringify(agent)} or to = ${JSON.stringify(agent)})`;
  }

  // -- what is left out --------------------------------------------------------------------------

  #without() {
    return new Set((this.params.without ?? "").split(",").filter((name) => name in GROUPS));
  }

  #toggles() {
    const counts = new Map();
    for (const item of this.transcript.all) counts.set(group(item), (counts.get(group(item)) ?? 0) + 1);
    const without = this.#without();
    return Object.entries(GROUPS)
      .filter(([name]) => counts.has(name))
      .map(([name, title]) => element("button", { class: "toggle", type: "button", dataset: { group: name }, "aria-pressed": String(!without.has(name)), onclick: (event) => this.#toggle(name, event.currentTarget) }, title, element("span", { class: "toggle-count" }, countText(counts.get(name)))));
  }

  #toggle(name, button) {
    const without = this.#without();
    if (!without.delete(name)) without.add(name);
    button.setAttribute("aria-pressed", String(!without.has(name)));
    this.#go({ without: [...without].join(",") });
    this.#hideGroups();
  }

  #hideGroups() {
    const without = this.#without();
    if ([...without].join() !== [...this.transcript.hidden].join()) this.transcript.hide(without);
  }
}

