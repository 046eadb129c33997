// One item of a transcript as an element: a message, a call, a goal, or a line about something else.
//
// What is folded is remembered by whoever draws (`state.open`), since rows come and go while one scrolls.

import { element } from "../dom.js";
import { durationText, secondsText } from "../format.js";
import { glanceText } from "./moments.js";
import { tree } from "../tree.js";
import { argumentsText, callBody } from "./calls.js";
import { icon } from "./icons.js";
import { callName, outcome } from "./items.js";
import { fieldList, parts, shortText } from "./payload.js";
import { fewNames, receivers } from "./people.js";

const GOAL_WORDS = { started: "takes up", succeeded: "succeeds in", failed: "fails in", cancelled: "is called off" };
const GOAL_LOOKS = { succeeded: "good", failed: "bad", cancelled: "cancelled", started: "running" };
const LONG_TEXT = 1_500;
const RUN_NAMES = 8;
const RUN_SHOWN = 300;

/** Draws items; `state`: {people, isPair, left, privately, open (a Set of what is unfolded), toggle(id), act(what, event)}. */
export class Rows {
  constructor(state) {
    this.state = state;
  }

  make(item) {
    if (item.type === "message") return this.#message(item);
    if (item.type === "call") return this.#call(item);
    if (item.type === "run") return this.#run(item);
    return this.#row(item, ...this.#line(item));
  }

  #message(item) {
    const { people, isPair, left } = this.state;
    const { event } = item;
    const isShort = !isPair && parts(event.data).said.length === 0;
    const side = isPair ? (event.agent === left ? " at-left" : " at-right") : isShort ? " flat is-short" : " flat";
    const body = element("div", { class: "message-body" }, !item.goesOn && this.#head(item), this.#said(item));
    const avatar = item.goesOn ? element("span", { class: "avatar-space" }) : people.avatar(event.agent);
    return this.#row(item, `message${side}${item.goesOn ? " goes-on" : ""}`, avatar, body);
  }

  #head({ event }) {
    const { people, isPair } = this.state;
    return element(
      "div",
      { class: "message-head" },
      people.name(event.agent),
      !isPair && this.#receivers(event),
      event.role && event.role !== event.agent && element("span", { class: "person-role" }, event.role),
    );
  }

  #receivers(event) {
    const to = receivers(event.to);
    const isAll = this.state.everyone > 2 && to.length >= this.state.everyone - 1;
    const words = isAll ? `everyone (${to.length})` : fewNames(to);
    const isPrivate = this.state.privately && to.length === 1;
    return element(
      "span",
      { class: "receivers", title: to.join(", ") },
      element("span", { class: "faint" }, "to "),
      words,
      isPrivate &&
        element("span", { class: "private", title: "only this agent hears it" }, icon("private"), "privately"),
    );
  }

  #said(item) {
    const { event } = item;
    const { said, fields, folded } = parts(event.data, { without: event.data?.role === event.role ? ["role"] : [] });
    const isPlain = event.kind === "message.sent";
    return element(
      "div",
      { class: "bubble" },
      !isPlain && element("div", { class: "message-line" }, this.#kind(event.kind), fieldList(fields)),
      said.map(([name, text]) => this.#prose(item, name, text, said.length > 1)),
      isPlain && fields.length > 0 && element("div", { class: "message-line is-note" }, fieldList(fields)),
      isPlain && said.length === 0 && fields.length === 0 && element("span", { class: "faint" }, "(no text)"),
      this.#folded(item, folded),
    );
  }

  #kind(kind) {
    return element("span", { class: "event-kind" }, kind);
  }

  #prose(item, name, text, isNamed) {
    const isOpen = this.state.open.has(`${item.id} ${name}`);
    const isLong = text.length > LONG_TEXT && !isOpen;
    const shown = isLong ? `${text.slice(0, LONG_TEXT)}…` : text;
    return element(
      "div",
      { class: "prose" },
      isNamed && element("span", { class: "prose-name" }, name),
      marked(shown, this.state.found),
      isLong && this.#toggle(`${item.id} ${name}`, `all ${text.length.toLocaleString("en-US")} letters`, "more"),
    );
  }

  #folded(item, folded) {
    const names = Object.keys(folded);
    if (names.length === 0) return undefined;
    const isOpen = this.state.open.has(item.id);
    return element(
      "div",
      { class: "folded" },
      this.#toggle(
        item.id,
        isOpen
          ? "less"
          : names.length > 3
            ? `${names.slice(0, 2).join(", ")} and ${names.length - 2} more`
            : names.join(", "),
        "",
        isOpen,
      ),
      isOpen && tree(folded),
    );
  }

  #toggle(key, text, look = "", isOpen = false) {
    const click = (event) => {
      event.stopPropagation();
      this.state.toggle(key);
    };
    return element(
      "button",
      { class: `fold ${look}`, type: "button", "aria-expanded": String(isOpen), tabindex: "-1", onclick: click },
      icon("fold"),
      text,
    );
  }

  #call(item) {
    const { people, open } = this.state;
    const { event } = item;
    const isOpen = open.has(item.id);
    const { status, took, ms, error } = outcome(item);
    const sign = event.kind.split(".")[0];
    const summary = element(
      "button",
      {
        class: "call-head",
        type: "button",
        tabindex: "-1",
        "aria-expanded": String(isOpen),
        onclick: () => this.state.toggle(item.id),
      },
      icon("fold"),
      people.avatar(event.agent, { small: true }),
      element("span", { class: `call-sign of-${sign}` }, icon(sign)),
      element("span", { class: "call-name mono" }, callName(event)),
      element("span", { class: "call-arguments" }, argumentsText(event)),
      element("span", { class: "spring" }),
      status === "bad" && error && element("span", { class: "call-error" }, shortText(error) ?? "failed"),
      element("span", { class: `chip ${status}` }, { good: "done", bad: "failed", running: "no answer" }[status]),
      element(
        "span",
        { class: "call-took faint", title: "virtual time until the answer" },
        took !== undefined ? glanceText(took) : ms !== undefined ? secondsText(ms / 1000) : "",
      ),
    );
    return this.#row(item, `call is-${status}${isOpen ? " is-open" : ""}`, summary, isOpen && callBody(item));
  }

  /** Many of a kind in a row: how many of what, and when unfolded, each. */
  #run(item) {
    const { people, open } = this.state;
    const isOpen = open.has(item.id);
    const counts = new Map();
    for (const { event } of item.items) counts.set(runName(event), (counts.get(runName(event)) ?? 0) + 1);
    const names = [...counts]
      .slice(0, RUN_NAMES)
      .map(([name, count]) => (count > 1 ? `${name} × ${count.toLocaleString("en-US")}` : name));
    const line = element(
      "button",
      {
        class: "run-head",
        type: "button",
        tabindex: "-1",
        "aria-expanded": String(isOpen),
        onclick: () => this.state.toggle(item.id),
      },
      icon("fold"),
      this.#kind(item.event.kind),
      element("b", {}, item.items.length.toLocaleString("en-US")),
      element(
        "span",
        { class: "run-names" },
        names.join(", "),
        counts.size > RUN_NAMES && ` and ${(counts.size - RUN_NAMES).toLocaleString("en-US")} more`,
      ),
    );
    const lines =
      isOpen &&
      item.items.slice(0, RUN_SHOWN).map((one) => {
        const [look, ...shown] = this.#line(one);
        return element("div", { class: `run-line ${look}` }, people.avatar(one.event.agent, { small: true }), ...shown);
      });
    const rest =
      isOpen &&
      item.items.length > RUN_SHOWN &&
      element(
        "div",
        { class: "faint run-line" },
        `and ${(item.items.length - RUN_SHOWN).toLocaleString("en-US")} more; ask for them with a query`,
      );
    return this.#row(item, "thin run", element("div", { class: "run-box" }, line, lines || undefined, rest));
  }

  #line(item) {
    return item.type === "goal" ? this.#goal(item) : this.#mark(item);
  }

  #goal(item) {
    const { event } = item;
    const what = event.kind.slice(5);
    const { said, fields } = parts(event.data, { without: ["name", "parent", "steps", "turns"] });
    const name = event.goal ?? event.data?.name ?? "a goal";
    const words =
      what === "cancelled"
        ? [element("b", {}, name), " is called off"]
        : [`${GOAL_WORDS[what] ?? what} `, element("b", {}, name)];
    return this.#thin(
      `goal is-${GOAL_LOOKS[what] ?? ""}`,
      "goal",
      [this.state.people.name(event.agent), " ", ...words],
      said,
      fields,
    );
  }

  #mark(item) {
    const { event } = item;
    const { people } = this.state;
    const isState = item.type === "state";
    const { said, fields } = parts(event.data, {
      without: ["code", "file", "versions", "hash_seed", "parameters", "id", "class", "name", "program"],
    });
    const words = isState
      ? [event.agent ? people.name(event.agent) : "the simulation", element("span", { class: "faint" }, " is now")]
      : [event.agent && people.name(event.agent), " ", this.#kind(event.kind)];
    return this.#thin(isState ? "state" : "other", isState ? "state" : "event", words, said, fields);
  }

  #thin(look, sign, words, said, fields) {
    const texts = said.map(([name, text]) => [name, text.length > 160 ? `${text.slice(0, 160)}…` : text, "string"]);
    const line = element(
      "div",
      { class: "thin-line" },
      element("span", { class: "thin-sign" }, icon(sign)),
      element("span", {}, words),
      fieldList([...fields, ...texts]),
    );
    return [`thin ${look}`, line];
  }

  /** A row: what it shows, its time, and what can be done with it. */
  #row(item, look, ...children) {
    const { event } = item;
    const isChosen = this.state.chosen === item.id;
    return element(
      "article",
      {
        class: `item ${look}${isChosen ? " is-chosen" : ""}`,
        tabindex: isChosen ? "0" : "-1",
        dataset: { event: item.id },
        "aria-current": isChosen ? "true" : undefined,
        "aria-label": label(item),
      },
      children,
      element(
        "span",
        { class: "item-aside" },
        this.#actions(event),
        element(
          "time",
          { class: "item-time", title: `${durationText(event.time)} · event ${event.seq} · turn ${event.turn}` },
          glanceText(event.time),
        ),
      ),
    );
  }

  #actions(event) {
    const act = (what, title) =>
      element(
        "button",
        {
          class: "icon-button small",
          type: "button",
          tabindex: "-1",
          title,
          "aria-label": title,
          onclick: (click) => (click.stopPropagation(), this.state.act(what, event)),
        },
        icon(what),
      );
    return element(
      "span",
      { class: "item-actions" },
      act("details", "Details (Enter)"),
      act("causes", "Causes (c)"),
      act("timeline", "Time line at this moment (l)"),
    );
  }
}

/** A text with the places marked where the other text is. */
function marked(text, found) {
  if (!found) return text;
  return text.split(found).flatMap((piece, place) => (place === 0 ? [piece] : [element("mark", {}, found), piece]));
}

/** What a run is counted by: goals by their name, agents by their role, others by who did it. */
function runName({ kind, goal, data, role, agent }) {
  if (kind.startsWith("goal.")) return goal ?? data?.name ?? "";
  return kind.startsWith("agent.") ? (role ?? data?.role ?? agent ?? "") : (agent ?? "the simulation");
}

function label({ type, event }) {
  const to = receivers(event.to);
  return `${event.agent ?? "the simulation"}${to.length > 0 ? ` to ${fewNames(to)}` : ""}: ${type === "call" ? callName(event) : event.kind}`;
}
