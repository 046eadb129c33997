// What is in the store at a glance: how much, which simulations, which kinds of events, and questions to begin with.

import { element } from "./dom.js";
import { bytesText, countText, durationText } from "./format.js";
import { pieces } from "./query/syntax.js";

const SIMULATIONS_MAX = 100;
const KINDS_SHOWN = 13;
const LOOK_MS = 3000;
const QUERIES = [
  `simulations | sort start desc | limit ${SIMULATIONS_MAX}`,
  "agents | count by role | sort count desc | limit 6",
  "goals | count, count(failed) as failures by name | sort count desc | limit 6",
];

/** Shown in place of an answer while there is no query. `run(text)` asks. */
export class Overview {
  constructor(host, context, run) {
    this.context = context;
    this.run = run;
    this.asking = new AbortController();
    this.box = element("div", { class: "overview" }, element("div", { class: "loading" }));
    host.append(this.box);
    this.#ask();
  }

  destroy() {
    clearTimeout(this.looking);
    this.asking.abort();
    this.box.remove();
  }

  /** Asks now, and again while it is looked at: a store grows while programs run. */
  async #ask() {
    const { connection } = this.context;
    const { signal } = this.asking;
    clearTimeout(this.looking);
    try {
      const info = await connection.info(undefined, { signal });
      const told = JSON.stringify(info);
      if (told !== this.told && !this.#isInUse()) {
        const [simulations, roles, goals] = await Promise.all(
          QUERIES.map((text) => connection.query(text, { signal })),
        );
        this.#show(info, simulations, roles.rows(), goals.rows());
        this.told = told;
      }
    } catch (error) {
      if (!signal.aborted && this.told === undefined) this.#failed(error);
    }
    if (!signal.aborted) this.looking = setTimeout(() => this.#ask(), LOOK_MS);
  }

  /** Nothing is redrawn under the keyboard, or while nobody looks. */
  #isInUse() {
    return this.told !== undefined && (document.hidden || this.box.contains(document.activeElement));
  }

  #failed(error) {
    this.box.replaceChildren(
      element(
        "div",
        { class: "trouble", role: "alert" },
        element("strong", {}, "The store cannot be read"),
        error.message,
      ),
    );
  }

  #show(info, simulations, roles, goals) {
    if (info.events === 0) {
      this.box.replaceChildren(
        element(
          "div",
          { class: "empty" },
          element("strong", {}, "The store is empty"),
          element(
            "span",
            {},
            "Run a program into it: ",
            element("code", {}, "matrix run examples/market.py --store STORE"),
          ),
        ),
      );
      return;
    }
    this.box.replaceChildren(
      this.#numbers(info, roles),
      element(
        "div",
        { class: "overview-columns" },
        element("div", {}, this.#simulations(simulations, info), this.#questions(info, roles, goals)),
        element("div", {}, this.#kinds(info.kinds)),
      ),
    );
  }

  #numbers(info, roles) {
    const all = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);
    const parts = (counts) =>
      Object.entries(counts).map(([status, count]) =>
        element("span", { class: `status-${status}` }, `${countText(count)} ${status}`),
      );
    const number = (title, count, text, more = []) =>
      element(
        "button",
        { class: "number", type: "button", onclick: () => this.run(text) },
        element("span", { class: "number-title" }, title),
        element("strong", {}, count),
        element("span", { class: "number-parts" }, more),
      );
    return element(
      "div",
      { class: "numbers" },
      number("Simulations", countText(all(info.simulations)), "simulations", parts(info.simulations)),
      number(
        "Agents",
        countText(info.agents),
        "agents | count by role, status",
        roles
          .slice(0, 3)
          .map((each) =>
            element("span", { class: "faint" }, `${countText(each.count)} ${each.role ?? "without a role"}`),
          ),
      ),
      number("Goals", countText(all(info.goals)), "goals | count by name, status", parts(info.goals)),
      number("Events", countText(info.events), "events | count by kind | sort count desc", [
        element("span", { class: "faint" }, `${bytesText(info.size_bytes)} on disk`),
      ]),
    );
  }

  #simulations(result, info) {
    const rows = result.rows();
    const total = Object.values(info.simulations).reduce((sum, count) => sum + count, 0);
    const way = (row, view, title, params) =>
      element("a", { href: this.context.link(view, params ?? { simulation: row.id }) }, title);
    return element(
      "section",
      { class: "panel" },
      element(
        "h2",
        {},
        "Simulations",
        total > rows.length && element("span", { class: "faint" }, ` the latest ${rows.length} of ${countText(total)}`),
      ),
      element(
        "table",
        { class: "list" },
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            ["id", "name", "status", "seed", "virtual time", "took", ""].map((title, place) =>
              element("th", { scope: "col", class: place > 2 && place < 6 ? "numeric" : "" }, title),
            ),
          ),
        ),
        element(
          "tbody",
          {},
          rows.map((row) =>
            element(
              "tr",
              {},
              element("td", { class: "mono" }, row.id),
              element("td", {}, row.name, row.parent && element("span", { class: "faint" }, ` fork of ${row.parent}`)),
              element("td", { class: `status-${row.status}` }, row.status),
              element("td", { class: "numeric mono" }, String(row.seed ?? "")),
              element("td", { class: "numeric mono" }, row.duration === null ? "" : durationText(row.duration)),
              element("td", { class: "numeric mono" }, row.took === null ? "" : tookText(row.took)),
              element(
                "td",
                { class: "ways" },
                way(row, "timeline", "Time line"),
                way(row, "conversation", "Conversations"),
                row.parent
                  ? way(row, "diff", "Compare", { one: row.parent, other: row.id })
                  : row.status === "running" && way(row, "live", "Live"),
              ),
            ),
          ),
        ),
      ),
    );
  }

  #kinds(kinds) {
    const most = Math.max(...kinds.map(({ events }) => events), 1);
    const row = ({ kind, events }) => {
      const bar = element("span", { class: "kind-bar" });
      bar.style.setProperty("width", `${Math.max(0.5, (events / most) * 100)}%`);
      return element(
        "li",
        {},
        element(
          "button",
          { class: "kind", type: "button", onclick: () => this.run(`events ${kind}`) },
          element("span", { class: "kind-name" }, kind),
          element("span", { class: "kind-count" }, countText(events)),
          element("span", { class: "kind-track" }, bar),
        ),
      );
    };
    const shown = kinds.length > KINDS_SHOWN + 2 ? KINDS_SHOWN : kinds.length;
    const list = element("ul", { class: "kinds" }, kinds.slice(0, shown).map(row));
    const more = element(
      "button",
      {
        class: "button plain",
        type: "button",
        onclick: () => {
          list.append(...kinds.slice(shown).map(row));
          more.remove();
        },
      },
      `${kinds.length - shown} more kinds`,
    );
    return element(
      "section",
      { class: "panel" },
      element("h2", {}, "Kinds of events"),
      list,
      kinds.length > shown && more,
    );
  }

  #questions(info, roles, goals) {
    return element(
      "section",
      { class: "panel" },
      element("h2", {}, "Questions to begin with"),
      element(
        "ul",
        { class: "questions" },
        questions(info, roles, goals).map(([words, text]) =>
          element(
            "li",
            {},
            element(
              "button",
              { class: "question", type: "button", onclick: () => this.run(text) },
              element("span", {}, words),
              coloured(text),
            ),
          ),
        ),
      ),
    );
  }
}

/** Questions that this very store can answer: [in words, in the language]. */
function questions({ kinds }, roles, goals) {
  const has = (kind) => kinds.some((each) => each.kind === kind);
  const own = kinds.filter(({ kind }) => !/^(?:simulation|agent|goal|state|message|call|tool|model)\./.test(kind));
  const made = [];
  const role = roles.find((each) => each.role !== null);
  const failing = goals.find(({ failures }) => failures > 0);
  if (goals.length) made.push(["How do goals end, by name?", "goals | count by name, status"]);
  if (role) made.push([`What does each ${role.role} do?`, `agents where role = ${word(role.role)}`]);
  if (failing)
    made.push([
      `Why does \u201c${failing.name}\u201d fail?`,
      `goals where name = ${word(failing.name)} and failed | count by reason`,
    ]);
  if (failing) made.push(["What led to the failures?", "events goal.failed | causes within 5 steps | count by kind"]);
  if (has("tool.failed")) made.push(["Which tools fail?", "events tool.called, tool.failed | count by kind, .tool"]);
  if (own.length)
    made.push([`Who does \u201c${own[0].kind}\u201d, over time?`, `events ${own[0].kind} | count by role per 1m`]);
  if (own.length > 1) made.push(["Who answers whom?", `agents | funnel ${own[0].kind} then saw ${own[1].kind}`]);
  made.push(["Which conversations are the longest?", "conversations | sort messages desc | limit 20"]);
  return made;
}

const word = (name) => (/^[a-z_]\w*$/i.test(name) ? name : JSON.stringify(name));

const tookText = (took) => durationText(took >= 1e6 ? Math.round(took / 1e4) * 1e4 : Math.round(took / 10) * 10);

const coloured = (text) =>
  element(
    "code",
    {},
    pieces(text).map(([name, piece]) => element("span", { class: name && `syntax-${name}` }, piece)),
  );
