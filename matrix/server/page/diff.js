// Two simulations side by side: what they share is folded, where they part is marked and explained, then both go on.
//
// The URL says which: `one`, `other`; `all` shows also the outcomes that are the same.

import { icon } from "./conversation/icons.js";
import { glanceText } from "./conversation/moments.js";
import { People, receivers } from "./conversation/people.js";
import * as sources from "./conversation/sources.js";
import { align, folded } from "./diff/align.js";
import { outcomeTable } from "./diff/outcomes.js";
import { explained, foldRow, line, pairRow } from "./diff/rows.js";
import { suggestions } from "./diff/suggestions.js";
import { element } from "./dom.js";
import { countText, durationText } from "./format.js";

const PAGE = 500; // events of each side that are compared at once
const ALIKE_SHOWN = 300;

export class DiffView {
  constructor(host, context) {
    this.host = host;
    this.context = context;
    this.params = {};
    this.shown = undefined;
    this.#build();
    context.keys?.add("Compare", [
      { keys: "n", label: "next difference", run: () => this.#step(1) },
      { keys: "p", label: "difference before", run: () => this.#step(-1) },
    ]);
  }

  destroy() {
    this.asking?.abort();
    this.context.keys?.remove("Compare");
  }

  async show(params) {
    this.params = { ...params };
    const { one = "", other = "", all = "" } = params;
    if (this.simulations === undefined) {
      this.simulations = await sources.simulations(this.context.connection);
      this.#fill();
    }
    this.first.value = one;
    this.second.value = other;
    if (!one || !other) return this.#suggest();
    const wanted = JSON.stringify([one, other]);
    if (wanted !== this.shown) await this.#compare(one, other, wanted);
    return this.#outcomes(all === "1");
  }

  #build() {
    const picker = (label, look) => element("select", { class: `field diff-picker ${look}`, "aria-label": label, onchange: () => this.#pick() });
    this.first = picker("One simulation", "of-one");
    this.second = picker("The other simulation", "of-other");
    const swap = element("button", { class: "icon-button", type: "button", title: "Change sides", "aria-label": "Change sides", onclick: () => this.#swap() }, icon("swap"));
    this.tools = element("div", { class: "head-tools" });
    this.loading = element("div", { class: "loading", hidden: true });
    this.body = element("div", { class: "diff-body" });
    this.host.append(element("header", { class: "diff-head" }, this.first, swap, this.second, element("span", { class: "spring" }), this.tools), this.loading, this.body);
  }

  #fill() {
    const name = ({ id, name: title, parent, status, seed }) => [id, title !== id && title, parent ? `fork of ${parent}` : "", seed !== null && `seed ${seed}`, status !== "finished" && status].filter(Boolean).join("  ");
    const options = () => [element("option", { value: "" }, "Choose a simulation"), ...this.simulations.map((one) => element("option", { value: one.id }, name(one)))];
    this.first.replaceChildren(...options());
    this.second.replaceChildren(...options());
  }

  #pick() {
    this.context.navigate("diff", { ...this.params, one: this.first.value, other: this.second.value });
  }

  #swap() {
    const { one, other } = this.params;
    this.context.navigate("diff", { ...this.params, one: other, other: one });
  }

  // -- nothing chosen yet ------------------------------------------------------------------------

  #suggest() {
    this.asking?.abort();
    this.shown = undefined;
    this.tools.replaceChildren();
    const found = suggestions(this.simulations, this.params.one || this.params.other);
    const words = found.length > 0 ? "Choose two simulations above, or one of these pairs." : this.simulations.length < 2 ? "There are not two simulations in this store. A fork makes a second one: matrix fork STORE SIMULATION --at EVENT." : "Choose two simulations above.";
    this.body.replaceChildren(
      element("div", { class: "diff-empty" }, element("h1", {}, "Compare two simulations"), element("p", { class: "muted" }, words), found.map(({ title, pairs }) => element("section", { class: "suggestion-group" }, element("h2", {}, title), element("div", { class: "suggestion-pairs" }, pairs.map(([one, other]) => this.#pair(one, other)))))),
    );
  }

  #pair(one, other) {
    const both = one.status === other.status ? `both ${one.status}` : `${one.status}, ${other.status}`;
    const fork = [one, other].find(({ forked_at: at }) => at !== null && at !== undefined);
    const facts = [one.seed !== null && `seeds ${one.seed} and ${other.seed}`, fork && `${fork.id} forked at event ${countText(fork.forked_at)}`, both];
    return element(
      "a", { class: "suggestion", href: this.context.link("diff", { one: one.id, other: other.id }) },
      element("span", { class: "suggestion-ids" }, element("span", { class: "of-one" }, one.id), element("span", { class: "faint" }, " and "), element("span", { class: "of-other" }, other.id)),
      element("span", { class: "muted" }, facts.filter(Boolean).join(" · ")),
    );
  }

  // -- the comparison ----------------------------------------------------------------------------

  async #compare(one, other, wanted) {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const late = setTimeout(() => (this.loading.hidden = false), 120);
    try {
      const found = await this.context.connection.diff(one, other, { signal: asking.signal });
      const parting = found.first_beyond_time ?? found.first;
      const from = parting && { one: parting.one?.seq, other: parting.other?.seq };
      const events = from ? await this.#events(one, other, from, asking.signal) : { one: [], other: [] };
      this.shown = wanted;
      this.found = found;
      this.#draw(found, events, from);
    } finally {
      clearTimeout(late);
      if (this.asking === asking) this.loading.hidden = true;
    }
  }

  /** The events of both from a place on; nothing of a side that has come to its end. */
  async #events(one, other, from, signal) {
    const ask = async (simulation, seq) => {
      if (seq === undefined) return [];
      const result = await this.context.connection.query(`events where simulation = $simulation and seq >= $seq | limit ${PAGE}`, { params: { simulation, seq }, signal });
      return result.rows();
    };
    const [first, second] = await Promise.all([ask(one, from.one), ask(other, from.other)]);
    return { one: first, other: second };
  }

  #draw(found, events, from) {
    this.people = new People([...events.one, ...events.other].flatMap(({ agent, to }) => [agent, ...receivers(to)]).filter(Boolean));
    this.pairing = { people: this.people, open: (event) => this.context.openEvent(event.id) };
    this.rest = events;
    this.list = element("div", { class: "diff-list", role: "table", "aria-label": "Events of both" });
    this.side = element("aside", { class: "diff-side", "aria-label": "Outcomes" });
    this.list.append(this.#sides(found), ...this.#beginning(found, from));
    if (from) this.list.append(this.#firstDifference(events.one[0], events.other[0]));
    if (from) this.#goOn({ isFirst: true });
    this.body.replaceChildren(element("div", { class: "diff-columns" }, this.list, this.side));
    this.#links(found, events);
  }

  /** Who stands on which side, always in view. */
  #sides({ one, other }) {
    const side = (told, look) => element("div", { class: `diff-title ${look}` }, element("b", {}, told.id), element("span", { class: "muted" }, [told.name !== told.id && told.name, told.parent ? `fork of ${told.parent}` : "", `${countText(told.events)} events`].filter(Boolean).join(" · ")));
    return element("div", { class: "diff-titles" }, side(one, "of-one"), side(other, "of-other"));
  }

  /** What both share, and where they part. */
  #beginning(found, from) {
    const { one, shared, first, first_beyond_time: beyond } = found;
    if (first === null) return [this.#alike(found, one.events)];
    const before = Math.min(from.one ?? Infinity, from.other ?? Infinity) - 1;
    const rows = [this.#alike(found, before)];
    if (beyond === null) rows.push(element("p", { class: "diff-note" }, "They differ in virtual time and measured durations only: nothing else happens in one than in the other."));
    else if (first.one?.seq !== beyond.one?.seq) rows.push(element("p", { class: "diff-note" }, `Times differ from event ${countText((first.one ?? first.other).seq)} on; what happens differs here.`));
    if (shared === 0 && before === 0) rows.shift();
    return rows;
  }

  /** The part that is the same, folded; it is fetched when it is opened. */
  #alike({ one, other, shared, first }, count) {
    const box = element("div", { class: "diff-fold first-fold" });
    const words = first === null ? `The same happens in both: ${countText(count)} events, one by one` : `${countText(count)} ${count === 1 ? "event is" : "events are"} the same`;
    const stored = shared > 0 && one.id !== other.id && `; they share ${shared >= count ? "them" : `the first ${countText(shared)}`} in the log`;
    const button = element("button", { class: "diff-fold-head", type: "button", "aria-expanded": "false" }, icon("fold"), words, stored);
    button.addEventListener("click", async () => {
      if (box.childElementCount > 1) {
        box.replaceChildren(button);
        button.setAttribute("aria-expanded", "false");
        return;
      }
      button.setAttribute("aria-expanded", "true");
      const from = Math.max(1, count - ALIKE_SHOWN + 1);
      const events = await this.context.connection.query("events where simulation = $simulation and seq >= $from and seq <= $to", { params: { simulation: one.id, from, to: count } });
      box.append(from > 1 && element("p", { class: "diff-note" }, `the last ${ALIKE_SHOWN} of them:`), ...events.rows().map((event) => pairRow({ type: "same", one: event, other: event }, this.pairing)));
    });
    box.append(button);
    return box;
  }

  /** Align what was fetched, and show it; the pair that was explained is not shown twice. */
  #goOn({ isFirst = false } = {}) {
    const { one, other } = this.rest;
    const isLast = one.length < PAGE && other.length < PAGE;
    const rows = align(one, other);
    // What stands at the end of a page may find its like on the next one: leave it for then.
    const kept = isLast ? rows.length : Math.max(1, lastSame(rows) + 1);
    const shown = folded(rows.slice(isFirst && rows[0]?.type === "changed" ? 1 : 0, kept));
    this.list.append(...this.#rows(shown));
    this.more?.remove();
    if (isLast) this.list.append(element("p", { class: "diff-note is-end" }, "Both have come to their end."));
    else this.#offerMore(rows.slice(0, kept));
  }

  #rows(rows) {
    return rows.map((row) => (row.type === "fold" ? foldRow(row.rows, this.pairing) : pairRow(row, this.pairing)));
  }

  /** The first difference, explained: what each side does there, and field by field in what that differs. */
  #firstDifference(one, other) {
    const event = one ?? other;
    const what = (which, told) => element("div", { class: `first-side of-${which}` }, told ? [line(told, { people: this.people, changed: new Set() }), this.#ways(told)] : element("span", { class: "muted" }, "has come to its end"));
    return element(
      "section", { class: "first-difference", tabindex: "-1", dataset: { differs: "" }, "aria-label": "First difference" },
      element("header", {}, element("span", { class: "first-badge" }, "First difference"), element("span", { class: "muted" }, `at ${durationText(event.time)}, event ${countText(event.seq)}`)),
      element("div", { class: "first-sides" }, what("one", one), what("other", other)),
      one && other && explained(one, other),
    );
  }

  /** Ways on from an event of one side. */
  #ways({ id, simulation, time, seq, agent, to }) {
    const way = (title, view, params) => element("a", { href: this.context.link(view, params) }, title);
    return element("div", { class: "first-ways" }, way("Time line", "timeline", { simulation, at: time, seq, agent }), way("Causes", "causes", { id }), to && way("Conversation", "conversation", { simulation, message: id }));
  }

  #offerMore(shown) {
    const last = (which) => shown.map((row) => row[which]).filter(Boolean).at(-1)?.seq;
    const next = { one: last("one"), other: last("other") };
    const { one, other } = this.found;
    const ask = async () => {
      this.loading.hidden = false;
      const after = (seq, which) => (seq === undefined ? this.rest[which][0]?.seq : seq + 1);
      this.rest = await this.#events(one.id, other.id, { one: after(next.one, "one"), other: after(next.other, "other") }, this.asking.signal);
      this.loading.hidden = true;
      this.#goOn();
    };
    this.more = element("div", { class: "diff-more" }, element("button", { class: "button", type: "button", onclick: ask }, `Compare the next ${PAGE} events`));
    this.list.append(this.more);
  }

  #links({ one, other, first }, events) {
    const at = events.one[0]?.time ?? events.other[0]?.time;
    const way = (told, look) => element("a", { class: "button", href: this.context.link("timeline", { simulation: told.id, at }) }, "Time line ", element("span", { class: look }, told.id));
    this.tools.replaceChildren(first && element("span", { class: "muted" }, `they part at ${glanceText(at)}`), way(one, "of-one"), way(other, "of-other"));
  }

  #outcomes(isWhole) {
    const { one, other } = this.found;
    const toggle = element("button", { class: "toggle", type: "button", "aria-pressed": String(isWhole), onclick: () => this.#toggleAll(!isWhole) }, "also what is the same");
    this.side.replaceChildren(element("header", {}, element("h2", {}, "How they came out"), element("span", { class: "spring" }), toggle), outcomeTable(one, other, { isWhole }));
  }

  #toggleAll(isWhole) {
    this.params = { ...this.params, all: isWhole ? "1" : "" };
    this.context.navigate("diff", this.params, { replace: true });
    this.#outcomes(isWhole);
  }

  /** Go to the next difference, or the one before. */
  #step(way) {
    const all = [...(this.list?.querySelectorAll("[data-differs]") ?? [])];
    const now = all.indexOf(document.activeElement);
    const next = all[Math.min(all.length - 1, Math.max(0, now + way))];
    next?.focus();
    next?.scrollIntoView({ block: "center" });
  }
}

/** The place of the last row that is the same in both; -1 where there is none. */
function lastSame(rows) {
  for (let place = rows.length - 1; place >= 0; place -= 1) if (rows[place].type === "same") return place;
  return -1;
}
