// Live: what is written now. Counts are complete, rows are the newest, and nothing is lost over a pause or a break.
//
// The URL says what is watched: `simulation`, or a text of one's own (`q`), or without both the whole store.

import { icon } from "./conversation/icons.js";
import * as sources from "./conversation/sources.js";
import { element } from "./dom.js";
import { countText, secondsText } from "./format.js";
import { Counts, RowCounts } from "./live/counts.js";
import { Feed } from "./live/feed.js";
import { bars, goalBar, outcomeCard, rateText, runList, sparkline, tile } from "./live/panels.js";
import { LiveTable } from "./live/table.js";

const HISTORY = 200; // events of a simulation that are shown from before
const WORDS = {
  starting: "Starting",
  live: "Live",
  behind: "Catching up",
  paused: "Paused",
  ended: "Ended",
  failed: "Not possible",
};

export class LiveView {
  constructor(host, context) {
    this.host = host;
    this.context = context;
    this.watched = undefined;
    this.#build();
    context.keys?.add("Live", [
      { keys: "Space", label: "pause, go on" },
      { keys: "n", label: "to what is new", run: () => this.#jump() },
    ]);
    this.listener = (event) => this.#key(event);
    document.addEventListener("keydown", this.listener);
    this.noted = () => this.#state();
    context.connection.addEventListener("state", this.noted);
  }

  destroy() {
    document.removeEventListener("keydown", this.listener);
    this.context.connection.removeEventListener("state", this.noted);
    this.context.keys?.remove("Live");
    this.#stop();
    clearInterval(this.clock);
  }

  async show({ simulation = "", q = "" }) {
    const wanted = JSON.stringify([simulation, q]);
    if (wanted === this.watched) return;
    this.watched = wanted;
    this.#stop();
    const one = q ? "" : simulation;
    this.simulations ??= [];
    this.#fill(one, q);
    this.#begin(one, q);
    this.simulations = await sources.simulations(this.context.connection);
    if (wanted === this.watched) this.#fill(one, q);
  }

  #build() {
    this.picker = element("select", {
      class: "field live-picker",
      "aria-label": "What is watched",
      onchange: () => this.#pick(),
    });
    this.line = element("input", {
      class: "field mono live-line",
      "aria-label": "A watch of your own",
      spellcheck: "false",
      autocomplete: "off",
      placeholder: "watch events goal.failed",
      onkeydown: (event) => event.key === "Enter" && this.#ask(),
    });
    this.status = element("span", { class: "live-state" });
    this.pause = element("button", {
      class: "button",
      type: "button",
      title: "Space",
      onclick: () => this.#pauseOrGo(),
    });
    this.now = element(
      "button",
      { class: "button", type: "button", title: "n", hidden: true, onclick: () => this.#jump() },
      "Jump to now",
    );
    this.tiles = element("div", { class: "tiles" });
    this.note = element("div", { class: "live-note", hidden: true });
    this.end = element("div", { class: "live-end" });
    this.rows = element("div", { class: "live-table" });
    this.side = element("aside", { class: "live-side", "aria-label": "Counts" });
    this.host.append(
      element("header", { class: "live-bar" }, this.picker, this.line, this.status, this.now, this.pause),
      this.tiles,
      this.end,
      this.note,
      element("div", { class: "live-body" }, this.rows, this.side),
    );
    this.clock = setInterval(() => this.#state(), 500);
  }

  #fill(simulation, q) {
    const running = this.simulations.filter(({ status }) => status === "running");
    const option = (value, ...words) => element("option", { value }, words.filter(Boolean).join("  "));
    const others = this.simulations.filter(({ status }) => status !== "running").slice(0, 200);
    const group = (label, members) =>
      members.length > 0 &&
      element(
        "optgroup",
        { label },
        members.map(({ id, name, status }) => option(id, id, name !== id && name, status)),
      );
    this.picker.replaceChildren(
      option("", "The whole store"),
      ...[q && option("q", "A watch of your own"), group("Running", running), group("At their end", others)].filter(
        Boolean,
      ),
    );
    if (simulation && !this.simulations.some(({ id }) => id === simulation))
      this.picker.append(option(simulation, simulation));
    this.picker.value = q ? "q" : simulation;
    if (document.activeElement !== this.line) this.line.value = q;
  }

  #pick() {
    if (this.picker.value !== "q") this.context.navigate("live", { simulation: this.picker.value });
  }

  #ask() {
    const q = this.line.value.trim();
    this.context.navigate("live", q ? { q: /^watch\b/.test(q) ? q : `watch ${q}` } : {});
  }

  // -- what is watched ---------------------------------------------------------------------------

  #begin(simulation, q) {
    const { connection } = this.context;
    const text = q || (simulation ? `watch events where simulation = ${JSON.stringify(simulation)}` : "watch events");
    this.isOwn = q !== "";
    this.simulation = simulation;
    this.rows.replaceChildren();
    this.end.replaceChildren();
    this.feed = new Feed(connection, text, {
      onChange: () => this.#soon(),
      onBegun: () => simulation && this.#history(simulation),
    });
    this.counts = this.isOwn
      ? new RowCounts(this.feed, { onChange: () => this.#soon() })
      : new Counts(connection, simulation, { onChange: () => this.#soon() });
    this.table = new LiveTable(this.rows, { feed: this.feed, context: this.context, hasSimulation: !simulation });
    this.nothing = element("div", { class: "empty live-nothing" });
    this.rows.append(this.nothing);
    this.host.classList.toggle("is-own", this.isOwn);
    this.feed.start();
    this.#draw();
  }

  /** The newest events that were there before the watch began. */
  async #history(simulation) {
    const { feed } = this;
    const { connection } = this.context;
    try {
      const events = (
        await connection.query("events where simulation = $simulation | count", { params: { simulation } })
      ).get(0, "count");
      const before = await connection.query("events where simulation = $simulation and seq > $seq", {
        params: { simulation, seq: Math.max(0, events - HISTORY) },
      });
      feed.prepend(before.rows());
    } catch (error) {
      console.warn(error);
    }
  }

  #stop() {
    this.feed?.stop();
    this.counts?.stop();
    this.table?.destroy();
    this.feed = undefined;
  }

  #pauseOrGo() {
    if (!this.feed) return;
    if (this.feed.state === "paused") {
      this.pausedAt = undefined;
      this.feed.resume();
    } else {
      this.pausedAt = this.counts.events;
      this.feed.pause();
    }
  }

  #jump() {
    this.pausedAt = undefined;
    this.feed?.jump();
  }

  #key(event) {
    const isTyping = ["INPUT", "TEXTAREA", "SELECT", "BUTTON", "A"].includes(event.target.tagName);
    if (event.key !== " " || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#pauseOrGo();
  }

  // -- drawing -----------------------------------------------------------------------------------

  /** Draw at the next frame, however often it is asked for until then. */
  #soon() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      if (this.feed) this.#draw();
    });
  }

  #draw() {
    if (this.feed.state === "failed") {
      this.#failed(this.feed.problem);
      return;
    }
    this.#state();
    this.#tiles();
    this.table.draw();
    this.nothing.hidden = this.feed.rows.length > 0;
    if (!this.nothing.hidden) this.#sayNothing();
    if (!this.isOwn) this.#sides();
  }

  #state() {
    const { feed } = this;
    if (!feed) return;
    const isAway = this.context.connection.state !== "open";
    const isOver = Boolean(this.counts.ended) && feed.state !== "paused";
    const state = isAway ? "away" : isOver ? "ended" : feed.state;
    this.status.dataset.state = state;
    const lag =
      feed.lag !== undefined && (state === "behind" || (state === "live" && feed.lag > 1500))
        ? `, behind by ${secondsText(feed.lag / 1000)}`
        : "";
    this.status.replaceChildren(
      element("span", { class: "live-dot" }),
      isAway ? "Disconnected; it goes on where it was" : `${WORDS[state]}${lag}`,
    );
    const isPaused = feed.state === "paused";
    this.pause.hidden = isOver || ["ended", "failed"].includes(feed.state);
    if (this.pause.dataset.paused !== String(isPaused)) {
      this.pause.dataset.paused = String(isPaused);
      this.pause.replaceChildren(icon(isPaused ? "play" : "pause"), isPaused ? "Go on" : "Pause");
    }
    this.now.hidden = !(isPaused || feed.state === "behind");
    this.#note(isPaused);
  }

  #note(isPaused) {
    const since = isPaused && this.pausedAt !== undefined && !this.isOwn ? this.counts.events - this.pausedAt : 0;
    const words = isPaused
      ? `Paused.${since > 0 ? ` ${countText(since)} events were written since;` : " What comes"} they wait in the log, and none is left out when you go on.`.replace(
          "What comes they wait",
          "What comes waits",
        )
      : this.feed.isSample
        ? "Too many rows to show each: the table is a sample of the newest. The counts are complete."
        : "";
    this.note.hidden = words === "";
    if (this.note.textContent !== words) this.note.textContent = words;
  }

  #tiles() {
    const { counts, feed } = this;
    const rate = tile(this.isOwn ? "rows a second" : "events a second", rateText(counts.rate), sparkline(counts.rates));
    rate.classList.add("is-rate");
    if (this.isOwn) {
      this.tiles.replaceChildren(rate, tile("rows", countText(feed.taken)));
      return;
    }
    const isCounted = counts.events !== undefined;
    const running = counts.agents.running ?? 0;
    const agents = Object.values(counts.agents).reduce((sum, count) => sum + count, 0);
    this.tiles.replaceChildren(
      rate,
      tile("events", isCounted ? countText(counts.events) : "…"),
      tile(
        "agents running",
        isCounted ? countText(running) : "…",
        isCounted && element("span", { class: "tile-more" }, `of ${countText(agents)}`),
      ),
      tile("goals", isCounted ? "" : "…", isCounted && goalBar(counts.goals)),
    );
  }

  #sides() {
    const { counts } = this;
    const scope = this.simulation ? ` and simulation = ${JSON.stringify(this.simulation)}` : "";
    const watchKind = (kind) =>
      this.context.navigate("live", { q: `watch events where kind = ${JSON.stringify(kind)}${scope}` });
    const focus = this.side.contains(document.activeElement)
      ? [...this.side.querySelectorAll("button")].indexOf(document.activeElement)
      : -1;
    this.side.replaceChildren(
      element("h2", {}, "Events by kind"),
      counts.events === undefined
        ? element("p", { class: "muted" }, "Counting…")
        : bars(counts.kinds, { onChoose: watchKind }),
      ...(this.simulation
        ? []
        : [
            element("h2", {}, "Simulations"),
            runList(counts.runs, { onChoose: (id) => this.context.navigate("live", { simulation: id }) }),
          ]),
    );
    if (focus >= 0) this.side.querySelectorAll("button")[focus]?.focus();
    if (counts.ended && this.end.childElementCount === 0)
      this.end.append(outcomeCard(counts.ended, counts, this.context));
  }

  #sayNothing() {
    const { counts, feed } = this;
    const isOver = Boolean(counts.ended);
    const runs = counts.runs?.filter(({ status }) => status === "running").length ?? 0;
    const words = isOver
      ? ["This simulation is at its end", "All of it is in the log: see its time line and its conversations."]
      : feed.state === "starting" || (!this.isOwn && counts.events === undefined)
        ? ["Looking at the store", "Counts and the newest events appear in a moment."]
        : this.isOwn
          ? ["No row yet", "Rows appear here as the log grows and they match."]
          : runs > 0
            ? [
                "Waiting for the next event",
                "A simulation is running, and has written nothing since this page watches.",
              ]
            : ["Nothing runs at the moment", "Events appear here as soon as a simulation writes into this store."];
    const [title, text] = words;
    if (this.nothing.dataset.said !== title) {
      this.nothing.dataset.said = title;
      this.nothing.replaceChildren(element("strong", {}, title), text);
    }
  }

  #failed(error) {
    this.#state();
    const fix =
      error.fix &&
      element(
        "button",
        { class: "button", type: "button", onclick: () => this.context.navigate("live", { q: error.fix }) },
        "Try: ",
        element("code", {}, error.fix),
      );
    this.tiles.replaceChildren();
    this.rows.replaceChildren(
      element(
        "div",
        { class: "trouble", role: "alert" },
        element("strong", {}, error.message),
        error.hint && element("p", {}, error.hint),
        fix,
      ),
    );
    this.side.replaceChildren();
  }
}
