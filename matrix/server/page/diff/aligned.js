// The events of two simulations beside each other: what is the same folded, the first difference explained, then both
// as far as one wants to read.
//
// What always holds: events are fetched a page of each side at a time; every event from the first difference on is shown
// once, but the two that the explanation shows already.

import { icon } from "../conversation/icons.js";
import { People, receivers } from "../conversation/people.js";
import { element } from "../dom.js";
import { countText, durationText } from "../format.js";
import { align, folded } from "./align.js";
import { explained, foldRow, line, pairRow } from "./rows.js";

const PAGE = 500; // events of each side that are compared at once
const ALIKE_SHOWN = 300;

/** Where two simulations part, as the request `diff` tells it: {one, other} of seqs; undefined where they do not. */
export function parting({ first, first_beyond_time: beyond }) {
  const place = beyond ?? first;
  return place ? { one: place.one?.seq, other: place.other?.seq } : undefined;
}

/** A page of events of both from a place on; nothing of a side that has come to its end. */
export async function eventsOf(connection, { one, other }, from, signal) {
  const ask = async (simulation, seq) => {
    if (seq === undefined) return [];
    const text = `events where simulation = $simulation and seq >= $seq | limit ${PAGE}`;
    return (await connection.query(text, { params: { simulation, seq }, signal })).rows();
  };
  const [first, second] = await Promise.all([ask(one.id, from.one), ask(other.id, from.other)]);
  return { one: first, other: second };
}

/** `found` is the answer to `diff`, `events` the first page; `element` the list. */
export class Aligned {
  constructor(found, events, { context, signal }) {
    Object.assign(this, { found, context, signal, page: events });
    const ids = [...events.one, ...events.other].flatMap(({ agent, to }) => [agent, ...receivers(to)]).filter(Boolean);
    this.look = { people: new People(ids), open: (event) => context.openEvent(event.id) };
    this.element = element(
      "div",
      { class: "diff-list", role: "table", "aria-label": "Events of both" },
      this.#sides(),
      this.#beginning(),
    );
    if (parting(found) === undefined) return;
    this.element.append(this.#firstDifference(events.one[0], events.other[0]));
    this.#goOn({ isFirst: true });
  }

  /** Who stands on which side, always in view. */
  #sides() {
    const side = ({ id, name, parent, events }, look) => {
      const facts = [name !== id && name, parent && `fork of ${parent}`, `${countText(events)} events`];
      return element(
        "div",
        { class: `diff-title ${look}` },
        element("b", {}, id),
        element("span", { class: "muted" }, facts.filter(Boolean).join(" · ")),
      );
    };
    return element("div", { class: "diff-titles" }, side(this.found.one, "of-one"), side(this.found.other, "of-other"));
  }

  /** What is the same, and in which way they part. */
  #beginning() {
    const { one, first, first_beyond_time: beyond } = this.found;
    if (first === null) return [this.#alike(one.events)];
    const from = parting(this.found);
    const before = Math.min(from.one ?? Infinity, from.other ?? Infinity) - 1;
    const since = (first.one ?? first.other).seq;
    const isLater = beyond !== null && first.one?.seq !== beyond.one?.seq;
    return [
      before > 0 && this.#alike(before),
      beyond === null &&
        note("They differ in virtual time and measured durations only: nothing else happens in one than in the other."),
      isLater && note(`Times differ from event ${countText(since)} on; what happens differs here.`),
    ].filter(Boolean);
  }

  /** The part that is the same, folded; it is fetched when it is opened. */
  #alike(count) {
    const { one, other, shared, first } = this.found;
    const box = element("div", { class: "diff-fold first-fold" });
    const alike = `${countText(count)} ${count === 1 ? "event is" : "events are"} the same`;
    const words = first === null ? `The same happens in both: ${countText(count)} events, one by one` : alike;
    const isStoredOnce = shared > 0 && one.id !== other.id;
    const stored =
      isStoredOnce && `; they share ${shared >= count ? "them" : `the first ${countText(shared)}`} in the log`;
    const button = element(
      "button",
      { class: "diff-fold-head", type: "button", "aria-expanded": "false" },
      icon("fold"),
      words,
      stored,
    );
    button.addEventListener("click", () => {
      const isOpen = box.childElementCount === 1;
      button.setAttribute("aria-expanded", String(isOpen));
      if (isOpen) this.#unfold(box, count);
      else box.replaceChildren(button);
    });
    box.append(button);
    return box;
  }

  async #unfold(box, count) {
    const from = Math.max(1, count - ALIKE_SHOWN + 1);
    const text = "events where simulation = $simulation and seq >= $from and seq <= $to";
    const { connection } = this.context;
    const events = await connection.query(text, {
      params: { simulation: this.found.one.id, from, to: count },
      signal: this.signal,
    });
    if (from > 1) box.append(note(`the last ${ALIKE_SHOWN} of them:`));
    box.append(...events.rows().map((event) => pairRow({ type: "same", one: event, other: event }, this.look)));
  }

  /** The first difference, explained: what each side does there, and field by field in what that differs. */
  #firstDifference(one, other) {
    const event = one ?? other;
    const ended = () => element("span", { class: "muted" }, "has come to its end");
    const told = (shown) =>
      shown ? [line(shown, { people: this.look.people, changed: new Set() }), this.#ways(shown)] : ended();
    const side = (which, shown) => element("div", { class: `first-side of-${which}` }, told(shown));
    return element(
      "section",
      { class: "first-difference", tabindex: "-1", dataset: { differs: "" }, "aria-label": "First difference" },
      element(
        "header",
        {},
        element("span", { class: "first-badge" }, "First difference"),
        element("span", { class: "muted" }, `at ${durationText(event.time)}, event ${countText(event.seq)}`),
      ),
      element("div", { class: "first-sides" }, side("one", one), side("other", other)),
      one && other && explained(one, other),
    );
  }

  /** Ways on from an event of one side. */
  #ways({ id, simulation, time, seq, agent, to }) {
    const way = (title, view, params) => element("a", { href: this.context.link(view, params) }, title);
    return element(
      "div",
      { class: "first-ways" },
      way("Time line", "timeline", { simulation, at: time, seq, agent }),
      way("Causes", "causes", { id }),
      to && way("Conversation", "conversation", { simulation, message: id }),
    );
  }

  /** Align the page that was fetched, and show it. */
  #goOn({ isFirst = false } = {}) {
    const { one, other } = this.page;
    const isLast = one.length < PAGE && other.length < PAGE;
    const rows = align(one, other);
    // What stands behind the last common event may find its like on the next page: it is left for then, while both go on.
    const common = rows.findLastIndex(({ type }) => type === "same") + 1;
    const kept = one.length < PAGE || other.length < PAGE || common === 0 ? rows.length : common;
    const shown = folded(rows.slice(isFirst && rows[0]?.type === "changed" ? 1 : 0, kept));
    this.more?.remove();
    this.element.append(
      ...shown.map((row) => (row.type === "fold" ? foldRow(row.rows, this.look) : pairRow(row, this.look))),
    );
    this.element.append(
      isLast ? note("Both have come to their end.", "is-end") : this.#moreButton(rows.slice(0, kept)),
    );
  }

  #moreButton(shown) {
    const next = (which) =>
      (shown.findLast((row) => row[which])?.[which].seq ?? (this.page[which][0]?.seq ?? 0) - 1) + 1;
    const from = Object.fromEntries(
      ["one", "other"].map((which) => [which, this.page[which].length === 0 ? undefined : next(which)]),
    );
    const ask = async () => {
      button.disabled = true;
      this.page = await eventsOf(this.context.connection, this.found, from, this.signal);
      this.#goOn();
    };
    const button = element(
      "button",
      { class: "button", type: "button", onclick: ask },
      `Compare the next ${PAGE} events`,
    );
    this.more = element("div", { class: "diff-more" }, button);
    return this.more;
  }
}

const note = (text, look = "") => element("p", { class: `diff-note ${look}` }, text);
