// The newest rows of a watch, the newest at the top. While one looks further down, it stands still and counts.

import { isCall } from "../conversation/items.js";
import { parts } from "../conversation/payload.js";
import { fewNames, People, receivers } from "../conversation/people.js";
import { Scroller } from "../conversation/scroller.js";
import { element } from "../dom.js";
import { cellText, countText, isRightAligned } from "../format.js";
import { glanceText } from "../conversation/moments.js";

const ROW = 28;
// What is noted down beside what matters on a line.
const OF_GOALS = ["name", "parent", "steps", "turns"];
const OF_CALLS = ["call_id", "waited_ms", "attempts", "step", "arrival", "tries"];

/** `feed` gives the rows; `context` opens one; `hasSimulation` shows a column for it. */
export class LiveTable {
  constructor(host, { feed, context, hasSimulation }) {
    Object.assign(this, { feed, context, hasSimulation });
    this.people = new People();
    this.shown = [];
    this.seen = 0;
    this.head = element("div", { class: "live-row live-head", role: "row" });
    this.news = element("button", { class: "live-news", type: "button", hidden: true, onclick: () => this.toTop() });
    this.box = element("div", { class: "live-rows" });
    host.append(this.head, this.box, this.news);
    this.scroller = new Scroller(this.box, {
      render: (row) => this.#row(row),
      guess: () => ROW,
      label: "Newest rows",
      role: "table",
    });
    this.scroller.box.addEventListener("scroll", () => this.scroller.box.scrollTop === 0 && this.draw());
    this.scroller.box.addEventListener("keydown", (event) => this.#key(event));
  }

  destroy() {
    this.scroller.destroy();
  }

  toTop() {
    this.scroller.box.scrollTop = 0;
    this.scroller.box.focus();
    this.draw();
  }

  /** Show what has come, unless one looks at older rows. */
  draw() {
    const { feed } = this;
    if (this.head.childElementCount === 0 && feed.columns.length > 0) this.#heads();
    const fresh = feed.taken - this.seen;
    if (fresh === 0) return;
    if (this.scroller.box.scrollTop > 2) {
      this.news.hidden = false;
      this.news.textContent = `${countText(fresh)} new ${fresh === 1 ? "row" : "rows"}`;
      return;
    }
    this.news.hidden = true;
    this.seen = feed.taken;
    this.shown = feed.rows;
    this.fresh = fresh;
    this.scroller.show(this.shown.length);
  }

  get isOfEvents() {
    const names = this.feed.columns.map(({ name }) => name);
    return ["id", "time", "agent", "kind", "data"].every((name) => names.includes(name));
  }

  #heads() {
    const names = this.isOfEvents
      ? ["time", ...(this.hasSimulation ? ["simulation"] : []), "agent", "kind", "to", "what"]
      : this.feed.columns.map(({ name }) => name);
    const right = new Set(
      this.isOfEvents ? ["time"] : this.feed.columns.filter(({ type }) => isRightAligned(type)).map(({ name }) => name),
    );
    this.head.replaceChildren(
      ...names.map((name) => element("span", { role: "columnheader", class: right.has(name) ? "numeric" : "" }, name)),
    );
    const columns = this.isOfEvents
      ? `84px ${this.hasSimulation ? "minmax(50px, 110px) " : ""}minmax(110px, 0.8fr) minmax(110px, 0.8fr) minmax(80px, 0.7fr) minmax(0, 2fr)`
      : `repeat(${names.length}, minmax(0, 1fr))`;
    this.head.parentElement.style.setProperty("--columns", columns);
  }

  #row(place) {
    const row = this.shown[this.shown.length - 1 - place];
    const cells = this.isOfEvents ? this.#eventCells(row) : this.#cells(row);
    return element(
      "div",
      {
        class: `live-row${place < this.fresh ? " is-fresh" : ""}`,
        role: "row",
        tabindex: "-1",
        onclick: () => this.#open(row),
      },
      cells.map((cell) => element("span", { role: "cell", class: cell.look ?? "", title: cell.title }, cell.shown)),
    );
  }

  #eventCells(row) {
    const get = (name) => this.feed.value(row, name);
    const agent = get("agent");
    const to = receivers(get("to"));
    const isGoal = get("kind").startsWith("goal.");
    const { said, fields } = parts(get("data"), { without: isGoal ? OF_GOALS : isCall(get("kind")) ? OF_CALLS : [] });
    const goal = isGoal ? get("goal") : undefined;
    const what = [goal, ...said.map(([, text]) => text), ...fields.map(([name, text]) => `${name} ${text}`)]
      .filter(Boolean)
      .join(" · ");
    return [
      { shown: glanceText(get("time")), look: "numeric faint" },
      ...(this.hasSimulation ? [{ shown: get("simulation"), look: "faint clipped" }] : []),
      {
        shown: agent
          ? [this.people.avatar(agent, { small: true }), this.people.name(agent)]
          : element("span", { class: "faint" }, "the simulation"),
        look: "agent-cell",
      },
      { shown: get("kind"), look: `mono ${look(get("kind"))}` },
      { shown: fewNames(to, 2), title: to.join(", "), look: "muted clipped" },
      { shown: what.slice(0, 300), look: "clipped" },
    ];
  }

  #cells(row) {
    return this.feed.columns.map(({ type }, place) => {
      const text = cellText(row[place], type);
      return { shown: text.slice(0, 300), look: `clipped${isRightAligned(type) ? " numeric" : ""}` };
    });
  }

  #open(row) {
    const id = this.feed.value(row, "id");
    if (this.isOfEvents && id) this.context.openEvent(id);
    else {
      const named = Object.fromEntries(this.feed.columns.map(({ name }, place) => [name, row[place]]));
      this.context.openRow({ columns: this.feed.columns, row: named, number: this.feed.rows.indexOf(row) });
    }
  }

  #key(event) {
    const rows = [...this.scroller.drawn].sort(([a], [b]) => a - b).map(([, shown]) => shown);
    const now = rows.indexOf(document.activeElement);
    if (event.key === "Enter" && now >= 0) rows[now].click();
    else if (event.key === "ArrowDown" || event.key === "ArrowUp")
      rows[Math.max(0, now + (event.key === "ArrowDown" ? 1 : -1))]?.focus();
    else if (event.key === "Home") this.toTop();
    else return;
    event.preventDefault();
  }
}

function look(kind) {
  if (kind.endsWith(".succeeded")) return "status-succeeded";
  if (kind.endsWith(".failed")) return "status-failed";
  return kind.endsWith(".cancelled") ? "status-cancelled" : "";
}
