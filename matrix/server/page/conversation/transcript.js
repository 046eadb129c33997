// A transcript: items in a box that scrolls, one of them chosen, moved through with the keys.
//
// What always holds: what is unfolded stays so while one scrolls; the chosen item stands in the URL (`onChoose`).

import { element } from "../dom.js";
import { itemsOf } from "./items.js";
import { parts } from "./payload.js";
import { People, receivers } from "./people.js";
import { Rows } from "./rows.js";
import { Scroller } from "./scroller.js";

const LETTERS_IN_A_LINE = 88;

/** `context` of the page; `onChoose(id)`; `onMore()` when more is wanted than is there. */
export class Transcript {
  constructor(host, { context, onChoose, onMore }) {
    Object.assign(this, { context, onChoose, onMore });
    this.all = [];
    this.items = [];
    this.places = new Map();
    this.hidden = new Set();
    this.next = undefined;
    this.state = {
      open: new Set(),
      chosen: "",
      toggle: (key) => this.#toggle(key),
      act: (what, event) => this.act(what, event),
    };
    this.rows = new Rows(this.state);
    this.scroller = new Scroller(host, {
      render: (row) => this.#render(row),
      guess: (row) => this.#guess(row),
      label: "Transcript",
    });
    this.scroller.box.addEventListener("keydown", (event) => this.#key(event));
    this.scroller.box.addEventListener("click", (event) => this.#click(event));
  }

  destroy() {
    this.scroller.destroy();
  }

  /** Show events. `agents`: who takes part; `people`: their colours; `isPair`: two who talk to each other, side by side. */
  take(events, { agents, people, isPair, next, found = "", isAgain = false }) {
    const here = new Set(agents ?? []);
    if (here.size === 0)
      for (const { agent, to } of events) for (const id of [agent, ...receivers(to)]) if (id) here.add(id);
    this.all = itemsOf(events);
    this.next = next;
    Object.assign(this.state, {
      people: people ?? new People(here),
      isPair,
      privately: !isPair && events.some(({ to }) => receivers(to).length > 1),
      everyone: here.size,
      found,
      left: isPair ? leftOf(this.all) : undefined,
    });
    const wasAtEnd = isAgain && this.scroller.isAtEnd;
    if (!isAgain) this.state.open.clear();
    const isBrief = !this.all.some(({ type, event }) => type === "message" && parts(event.data).said.length > 0);
    this.scroller.box.classList.toggle("is-pair", isPair);
    this.scroller.box.classList.toggle("is-brief", isPair && isBrief);
    this.#arrange({ keep: isAgain, grows: isAgain });
    if (wasAtEnd) this.scroller.reveal(this.items.length - 1);
  }

  /** More events behind those that are shown. */
  append(events, { next }) {
    this.all = [...this.all, ...itemsOf(events)];
    this.next = next;
    this.#arrange({ keep: true, grows: true });
  }

  /** Leave out kinds of items: a set of types. */
  hide(types) {
    if ([...types].sort().join() === [...this.hidden].sort().join()) return;
    this.hidden = new Set(types);
    this.#arrange({ keep: true });
    if (this.places.has(this.state.chosen)) this.scroller.reveal(this.places.get(this.state.chosen));
  }

  /** Choose an item by its event's id; scroll to it. */
  choose(id, { middle = false, focus = false } = {}) {
    const before = this.places.get(this.state.chosen);
    this.state.chosen = id;
    const place = this.places.get(id);
    if (before !== undefined) this.scroller.refresh(before);
    if (place === undefined) return false;
    this.scroller.refresh(place);
    this.scroller.reveal(place, { middle });
    if (focus) this.scroller.elementOf(place)?.focus({ preventScroll: true });
    return true;
  }

  /** Scroll to the first item at a time or later. */
  revealTime(time) {
    const place = this.items.findIndex((item) => item.event.time >= time);
    if (place >= 0) this.choose(this.items[place].id, { middle: true });
  }

  /** Scroll to the first item in which the text that was looked for is said. */
  revealText() {
    const place = this.items.findIndex(
      ({ type, event }) =>
        type === "message" && parts(event.data).said.some(([, text]) => text.includes(this.state.found)),
    );
    if (place >= 0) this.scroller.reveal(place, { middle: true });
  }

  act(what, event) {
    if (what === "details") this.context.openEvent(event.id);
    if (what === "causes") this.context.navigate("causes", { id: event.id });
    if (what === "timeline")
      this.context.navigate("timeline", {
        simulation: event.simulation,
        at: event.time,
        seq: event.seq,
        agent: event.agent,
      });
  }

  #arrange(options) {
    this.items = this.hidden.size === 0 ? this.all : this.all.filter((item) => !this.hidden.has(group(item)));
    this.places = new Map();
    this.items.forEach((item, place) => {
      this.places.set(item.id, place);
      if (item.ended) this.places.set(item.ended.id, place);
      if (item.items) for (const one of item.items) this.places.set(one.id, place);
    });
    const hadFocus = this.scroller.box.contains(document.activeElement);
    this.scroller.show(this.items.length + (this.next === undefined ? 0 : 1), options);
    if (hadFocus)
      (this.scroller.elementOf(this.places.get(this.state.chosen)) ?? this.scroller.box).focus({ preventScroll: true });
  }

  #render(row) {
    if (row < this.items.length) return this.rows.make(this.items[row]);
    const more = element(
      "button",
      { class: "button", type: "button", onclick: () => this.onMore(this.next) },
      "Show what comes next",
    );
    return element(
      "div",
      { class: "item more-row" },
      more,
      element("span", { class: "faint" }, `from event ${this.next} on`),
    );
  }

  #guess(row) {
    const item = this.items[row];
    if (item === undefined) return 60;
    if (item.type === "call") return 34;
    if (item.type !== "message") return 26;
    const { said } = parts(item.event.data);
    const lines = said.reduce((sum, [, text]) => sum + Math.ceil(Math.min(text.length, 1500) / LETTERS_IN_A_LINE), 0);
    if (said.length === 0 && !this.state.isPair) return 38;
    return (item.goesOn ? 14 : 34) + Math.max(1, lines) * 20;
  }

  #toggle(key) {
    const { open } = this.state;
    if (!open.delete(key)) open.add(key);
    const place = this.places.get(key.split(" ")[0]);
    if (place !== undefined) this.scroller.refresh(place);
  }

  #click(event) {
    const row = event.target.closest(".item[data-event]");
    if (row === null || window.getSelection()?.toString() || event.target.closest("details, .item-actions, .fold"))
      return;
    this.onChoose(row.dataset.event);
    this.choose(row.dataset.event, { focus: true });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const now = this.places.get(this.state.chosen) ?? -1;
    const item = this.items[now];
    const steps = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step !== undefined) this.#move(now, step);
    else if (event.key === "Enter" && item) this.act("details", item.event);
    else if (event.key === "c" && item) this.act("causes", item.event);
    else if (event.key === "l" && item) this.act("timeline", item.event);
    else if ((event.key === " " || event.key === "ArrowRight" || event.key === "ArrowLeft") && item)
      this.#toggle(item.id);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #move(now, step) {
    const next = Math.min(this.items.length - 1, Math.max(0, now + step));
    if (this.items.length === 0 || next === now) return;
    this.onChoose(this.items[next].id);
    this.choose(this.items[next].id, { focus: true });
  }
}

/** What an item is left out with: calls, goals, or everything else that is no message. */
export function group({ type, items }) {
  if (type === "run") return group(items[0]);
  return { message: "messages", call: "calls", goal: "goals" }[type] ?? "others";
}

/** Who of two stands at the left: not the one with the role "user"; else who speaks first. */
function leftOf(items) {
  const messages = items.filter((item) => item.type === "message");
  return (messages.find(({ event }) => event.role && event.role !== "user") ?? messages[0])?.event.agent;
}
