// Beside the lanes: what is selected, and what is at the cursor: the state then, and the events around it.

import { element } from "../dom.js";
import { stringifyExact } from "../exact.js";
import { countText, durationText } from "../format.js";
import { tree } from "../tree.js";
import { OUTCOMES } from "./palette.js";
import { isEnded, quoted } from "./rows.js";
import { roundedText } from "./scale.js";

const AROUND = 7;
const WAIT_MS = 70;

/** A value as it stands in a line: texts bare, all else as JSON. */
export function valueText(value) {
  return typeof value === "string" ? value : stringifyExact(value);
}

/** The data of an event on one line of a list. */
export function dataText(data, length = 90) {
  if (data === null || data === undefined) return "";
  const text =
    typeof data === "object" && !Array.isArray(data)
      ? Object.entries(data)
          .map(([name, value]) => `${name} ${valueText(value)}`)
          .join(" · ")
      : valueText(data);
  return text.length > length ? text.slice(0, length - 1) + "…" : text;
}

export class Panel {
  /** `select(id)` when something in the panel is chosen, `seek(event)` when the cursor should go to an event. */
  constructor(host, { context, asker, select, seek }) {
    this.host = host;
    this.context = context;
    this.asker = asker;
    this.select = select;
    this.seek = seek;
    this.selection = element("section", { class: "timeline-selection", "aria-label": "Selected" });
    this.cursor = element("section", { class: "timeline-cursor", "aria-label": "At the cursor" });
    this.run = element("section", { class: "timeline-run", "aria-label": "The run", hidden: true });
    host.append(this.selection, this.cursor, this.run);
    this.showSelection("");
    this.showCursor(null, null);
  }

  /** The run in a few lines, and its goals by outcome: what there is to look for. */
  async showRun(source) {
    const { facts, simulation } = source;
    const outcomes = await this.asker.rows(
      `goals where ${source.here} | count by name, status | sort count desc | limit 200`,
    );
    const link = (view, params, text) => element("a", { href: this.context.link(view, params) }, text);
    const fields = [
      ["name", facts.name],
      ["status", element("span", { class: `status-${facts.status}` }, facts.status)],
      ["lasted", durationText(facts.duration ?? 0)],
      ["events", countText(source.events)],
      ["fork of", facts.parent === null ? null : link("timeline", { simulation: facts.parent }, facts.parent)],
      [
        "shares",
        facts.parent === null || facts.at === null
          ? null
          : link("diff", { one: facts.parent, other: simulation }, `${countText(facts.at)} events with it`),
      ],
    ];
    const failed = outcomes.some(({ status }) => status === "failed");
    this.run.hidden = false;
    this.run.replaceChildren(element("h2", {}, "Run"), fieldList(fields));
    if (outcomes.length) this.run.append(element("h2", {}, "Goals"), ...outcomeBars(outcomes));
    if (failed)
      this.run.append(
        element(
          "div",
          { class: "timeline-ways" },
          element("a", { class: "button", href: this.context.link("causes", { simulation }) }, "Why goals failed"),
        ),
      );
  }

  /** `selected`: "event:ID", "goal:ID", or "". */
  async showSelection(selected) {
    this.selecting?.abort();
    this.selection.hidden = !selected;
    if (!selected) return;
    this.selecting = new AbortController();
    const { signal } = this.selecting;
    const split = selected.indexOf(":");
    const [what, id] = [selected.slice(0, split), selected.slice(split + 1)];
    try {
      const shown = what === "goal" ? await this.#goal(id, signal) : await this.#event(id, signal);
      if (!signal.aborted)
        this.selection.replaceChildren(...this.#head(what === "goal" ? "Goal" : "Event", id), ...shown);
    } catch (error) {
      if (!isEnded(error))
        this.selection.replaceChildren(
          ...this.#head("", id),
          element("p", { class: "timeline-problem" }, error.message),
        );
    }
  }

  #head(title, id) {
    const close = element(
      "button",
      {
        class: "icon-button",
        type: "button",
        title: "Close (Esc)",
        "aria-label": "Close",
        onclick: () => this.select(""),
      },
      "\u00d7",
    );
    return [
      element(
        "header",
        {},
        element("h2", {}, title),
        element("span", { class: "mono muted" }, id),
        element("span", { class: "spring" }),
        close,
      ),
    ];
  }

  async #event(id, signal) {
    const event = await this.asker.one("events where id = $id", { id }, signal);
    if (!event) return [element("p", { class: "muted" }, `The store has no event ${id}.`)];
    const { simulation } = event;
    const ways = [["Causes", "causes", { id }]];
    if (event.to !== null) ways.push(["Conversation", "conversation", { simulation, message: id }]);
    ways.push(["Query", "query", { q: `events where id = ${quoted(id)}` }]);
    const fields = [
      ["agent", event.agent],
      ["role", event.role],
      ["to", event.to],
      ["time", durationText(event.time)],
      ["goal", event.goal],
      ["turn", event.turn],
    ];
    if (event.cause !== null) fields.push(["cause", this.#jump(event.cause)]);
    return [
      element("strong", { class: "timeline-title" }, event.kind),
      this.#ways(ways),
      fieldList(fields),
      dataTree(event.data),
    ];
  }

  async #goal(id, signal) {
    const goal = await this.asker.one("goals where id = $id", { id }, signal);
    if (!goal) return [element("p", { class: "muted" }, `The store has no goal ${id}.`)];
    const end =
      goal.status === "running"
        ? null
        : await this.asker.one(
            `events goal.${goal.status} where simulation = ${quoted(goal.simulation)} and goal.id = $id | select id`,
            { id },
            signal,
          );
    const ways = [[goal.status === "failed" ? "Why it failed" : "Causes", "causes", { id: end?.id ?? id }]];
    ways.push(["Query", "query", { q: `goals where id = ${quoted(id)}` }]);
    const fields = [
      ["outcome", element("span", { class: `status-${goal.status}` }, goal.status)],
      ["reason", goal.reason],
      ["agent", goal.agent],
      ["role", goal.role],
      ["start", durationText(goal.start)],
      ["end", goal.end === null ? null : durationText(goal.end)],
      ["duration", durationText(goal.duration)],
      ["turns", goal.turns],
      ["steps", goal.steps],
      ["parent", goal.parent === null ? null : this.#jump(goal.parent, "goal")],
    ];
    if (end) fields.push(["ended by", this.#jump(end.id)]);
    return [
      element("strong", { class: "timeline-title" }, goal.name),
      this.#ways(ways),
      fieldList(fields),
      dataTree(goal.data),
    ];
  }

  #ways(ways) {
    return element(
      "div",
      { class: "timeline-ways" },
      ways.map(([title, view, params]) =>
        element("a", { class: "button", href: this.context.link(view, params) }, title),
      ),
    );
  }

  #jump(id, what = "event") {
    return element(
      "button",
      { class: "timeline-link mono", type: "button", onclick: () => this.select(`${what}:${id}`, true) },
      id,
    );
  }

  /** What is at a time, or at an event when its number is known. The last call wins. */
  showCursor(source, cursor) {
    clearTimeout(this.waiting);
    this.reading?.abort();
    if (!cursor) {
      this.cursor.replaceChildren(
        element("h2", {}, "Cursor"),
        element(
          "p",
          { class: "muted" },
          "Click a time, or step from event to event with ",
          element("kbd", {}, ","),
          " and ",
          element("kbd", {}, "."),
          ", to see the state then and what happened.",
        ),
      );
      return;
    }
    this.reading = new AbortController();
    this.waiting = setTimeout(() => this.#read(source, cursor, this.reading.signal), WAIT_MS);
  }

  async #read(source, cursor, signal) {
    try {
      const seq = cursor.seq ?? (await source.lastAt(cursor.time, signal)) ?? 0;
      const [state, around] = await Promise.all([source.stateAt(seq, signal), source.around(seq, AROUND, signal)]);
      if (!signal.aborted) this.#cursor(source, cursor, seq, state, around);
    } catch (error) {
      if (!isEnded(error))
        this.cursor.replaceChildren(
          element("h2", {}, "Cursor"),
          element("p", { class: "timeline-problem" }, error.message),
        );
    }
  }

  #cursor(source, cursor, seq, [state, before], around) {
    const now = durationText(Math.round(cursor.time));
    const place = `event ${countText(seq)} of ${countText(source.events)}`;
    this.cursor.replaceChildren(
      element(
        "header",
        {},
        element("h2", {}, "At"),
        element("strong", { class: "timeline-now" }, now),
        element("span", { class: "muted" }, place),
      ),
      element(
        "p",
        { class: "timeline-then" },
        ...stateThen(state, before, (id) => this.select(`event:${id}`), source.simulation),
      ),
      element(
        "ol",
        { class: "timeline-around" },
        around.map((event) => this.#line(event, event.seq === seq, source.simulation)),
      ),
    );
    this.host.dispatchEvent(
      new CustomEvent("told", { detail: [now, place, state && dataText(state.data)].filter(Boolean).join(", ") }),
    );
  }

  #line(event, isHere, simulation) {
    const id = `${simulation}:${event.seq}`;
    const who = event.to === null ? (event.agent ?? "simulation") : `${event.agent ?? "simulation"} → ${event.to}`;
    return element(
      "li",
      { "aria-current": isHere ? "true" : false },
      element(
        "button",
        {
          type: "button",
          onclick: () => {
            this.seek(event);
            this.select(`event:${id}`);
          },
        },
        element("span", { class: "timeline-when", title: durationText(event.time) }, roundedText(event.time)),
        element("span", { class: "timeline-what" }, event.kind),
        element("span", { class: "muted" }, who),
        element("span", { class: "timeline-data faint" }, dataText(event.data)),
      ),
    );
  }

  close() {
    clearTimeout(this.waiting);
    this.selecting?.abort();
    this.reading?.abort();
  }
}

/** The state as names and values; what the last change changed is marked. */
function stateThen(state, before, select, simulation) {
  if (!state) return [element("span", { class: "muted" }, "The simulation has no state here.")];
  const data = state.data && typeof state.data === "object" ? state.data : { state: state.data };
  const parts = Object.entries(data).map(([name, value]) => {
    const changed = stringifyExact(before?.data?.[name]) !== stringifyExact(value);
    return element(
      "span",
      { class: `timeline-value${changed ? " changed" : ""}` },
      element("span", { class: "muted" }, name),
      ` ${valueText(value)}`,
    );
  });
  const since = element(
    "button",
    { class: "timeline-link faint", type: "button", onclick: () => select(`${simulation}:${state.seq}`) },
    `since ${durationText(state.time)}`,
  );
  return [...parts, since];
}

/** A bar for each name of a goal: how many ended how. */
function outcomeBars(rows) {
  const byName = Map.groupBy(rows, ({ name }) => name);
  return [...byName].slice(0, 8).map(([name, own]) => {
    const sum = own.reduce((total, row) => total + row.count, 0);
    const ordered = OUTCOMES.flatMap((outcome) => own.filter(({ status }) => status === outcome));
    const words = ordered.map(({ status, count }) => `${countText(count)} ${status}`).join(", ");
    const parts = ordered.map(({ status, count }) => {
      const part = element("span", { dataset: { outcome: status } });
      part.style.flexGrow = count / sum;
      return part;
    });
    const title = element("div", {}, element("strong", {}, name), element("span", { class: "muted" }, words));
    return element(
      "div",
      { class: "timeline-outcome", title: words },
      title,
      element("div", { class: "timeline-parts", "aria-hidden": "true" }, parts),
    );
  });
}

function fieldList(fields) {
  const told = fields.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element(
    "dl",
    { class: "timeline-fields" },
    told.flatMap(([name, value]) => [
      element("dt", {}, name),
      element("dd", {}, value instanceof Node ? value : String(value)),
    ]),
  );
}

function dataTree(data) {
  if (data === null || data === undefined || (typeof data === "object" && Object.keys(data).length === 0)) return "";
  return element("div", { class: "timeline-tree" }, element("h2", {}, "Data"), tree(data));
}
