// The time line of one simulation: a lane for each agent, goals as bars, events as marks, messages as arrows, the simulation's state as a band.
//
// What is seen is a piece of time (`from`, `to`) and a piece of the lanes (`top`, `laneHeight`); each frame paints what is loaded of it and asks for the
// rest. All of it stands in the URL. Virtual times are microseconds.

import { element } from "./dom.js";
import { read } from "./location.js";
import { Controls } from "./timeline/controls.js";
import { Header } from "./timeline/header.js";
import { Hands } from "./timeline/hands.js";
import { layout } from "./timeline/layout.js";
import { Legend } from "./timeline/legend.js";
import { Minimap } from "./timeline/minimap.js";
import { GUTTER } from "./timeline/geometry.js";
import { Painter } from "./timeline/paint.js";
import { Palette } from "./timeline/palette.js";
import { Panel } from "./timeline/panel.js";
import { Pieces } from "./timeline/pieces.js";
import { Asker, isEnded } from "./timeline/rows.js";
import { inside, ticks } from "./timeline/scale.js";
import { Sight, clamped } from "./timeline/sight.js";
import { Source } from "./timeline/source.js";
import { levelOf } from "./timeline/tiles.js";

const URL_MS = 300;
const LIVE_MS = 2000;
const STEPS_MAX = 20;
const COMPLAINT_MS = 5000;
const STILL_MS = 110;
const MOVING_MS = 500;

export class TimelineView {
  constructor(host, context) {
    this.host = host;
    this.context = context;
    this.asker = new Asker(context.connection);
    this.params = {};
    this.pending = false;
    this.movedAt = this.movingSince = this.loadedAt = 0;
    this.steps = 0;
    this.turn = 0;
    this.stepping = Promise.resolve();
    this.#build();
    this.observer = new ResizeObserver(() => this.#resized());
    this.observer.observe(this.lanesHost);
    this.themed = () => this.#recolour();
    this.connected = () => this.#again();
    context.connection.addEventListener("state", this.connected);
    context.theme.addEventListener?.("change", this.themed);
    context.keys?.add("Time line", Hands.KEYS);
  }

  #build() {
    this.controls = new Controls(this);
    Object.assign(this, layout(this.host, this.controls.element));
    this.sight = new Sight(this.lanesHost, this.spacer, () => this.changed());
    this.palette = new Palette(this.host);
    this.painter = new Painter(this.canvas, this.palette);
    this.header = new Header(this.headCanvas, this.palette);
    this.minimap = new Minimap(this.mapCanvas, this.palette, { changed: (from, to) => this.sight.look(from, to) });
    this.legend = new Legend(this.foot, this.palette);
    const [select, seek] = [(id, go) => this.select(id, go), (event) => this.seek(event)];
    this.panel = new Panel(this.side, { context: this.context, asker: this.asker, select, seek });
    this.side.addEventListener("told", ({ detail }) => {
      this.told.textContent = detail;
    });
    this.hands = new Hands(this);
    this.lanesHost.addEventListener("scroll", () => this.#scrolled());
  }

  // What the URL says

  async show(params) {
    const turn = (this.turn += 1);
    this.params = { ...params };
    const simulations = await this.controls.simulations();
    const simulation = params.simulation || simulations[0]?.id;
    if (!simulation)
      return this.#say("There is no simulation in this store", "Run a program into it, and it will be here.");
    if (turn === this.turn && this.source?.simulation !== simulation) await this.#open(simulation);
    if (turn !== this.turn || !this.source?.facts) return undefined;
    await this.#filtered(this.controls.fromParams(params), params.path ?? "");
    if (turn === this.turn && this.source.lanes) this.#restore(params);
    return undefined;
  }

  /** What is seen, selected and pointed at, as the URL has it. */
  #restore(params) {
    const { sight } = this;
    sight.setHeight(Number(params.height) || sight.heightThatFits);
    const [from, to] = [Number(params.from ?? NaN), Number(params.to ?? NaN)];
    sight.range =
      Number.isFinite(from) && Number.isFinite(to) && to > from
        ? inside({ from, to }, sight.bounds)
        : this.#rangeOfPath();
    this.selected = params.selected ?? "";
    this.focus = this.source.lanes.index.get(params.agent) ?? -1;
    this.cursor =
      params.at === undefined ? null : { time: Number(params.at), seq: params.seq ? Number(params.seq) : null };
    this.panel.showSelection(this.selected);
    this.panel.showCursor(this.source, this.cursor);
    const lane = this.source.lanes.index.get(params.top ?? params.agent) ?? 0;
    this.lanesHost.scrollTop = (params.top ? lane : lane - 3) * sight.laneHeight;
    this.draw();
  }

  async #open(simulation) {
    this.source?.close();
    clearTimeout(this.living);
    const source = new Source(this.asker, simulation, {
      changed: () => this.draw(),
      failed: (error) => this.#failed(error),
    });
    this.source = source;
    this.sight.begin(source);
    this.pieces = new Pieces(source);
    this.path = null;
    this.pathId = "";
    this.minimap.seen = null;
    this.header.tints.clear();
    this.#say("", "");
    this.wait.hidden = false;
    this.controls.begin(simulation);
    const facts = await source.open();
    if (!facts) return this.#say(`There is no simulation ${simulation} in this store`, "Choose one above.");
    this.#counted(source);
    if (facts.status === "running") this.living = setTimeout(() => this.#live(), LIVE_MS);
    return undefined;
  }

  /** What takes a while and is not needed for the lanes comes beside them. */
  async #counted(source) {
    try {
      await source.count();
      if (source !== this.source || this.isGone) return;
      this.controls.opened(source);
      this.legend.show(source.kinds);
      await this.#overview();
      await this.panel.showRun(source);
    } catch (error) {
      this.#failed(error);
    }
  }

  async #overview() {
    const { source } = this;
    try {
      const seen = await source.overview();
      if (source !== this.source) return;
      this.minimap.seen = seen;
      this.draw();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Which lanes there are: those of the filter, and where a path is shown alone only those on it. */
  async #filtered(filter, path) {
    const { source } = this;
    if (path !== this.pathId) {
      this.path = path ? await source.pathTo(path) : null;
      this.pathId = path;
    }
    const ids = this.path && filter.only ? [...new Set(this.path.map((event) => event.agent).filter(Boolean))] : null;
    const key = JSON.stringify([source.simulation, filter, ids]);
    if (key === this.filterKey) return;
    try {
      const lanes = await source.choose(filter, ids);
      this.filterKey = key;
      this.controls.counted(source, null, Boolean(this.path));
      if (lanes.count === 0) this.#say("No agent is like that", "Change the filter above, or clear it.");
      else this.#say("", "");
    } catch (error) {
      if (isEnded(error)) return;
      if (!source.lanes) await source.choose({}, null);
      this.controls.counted(source, error, Boolean(this.path));
    }
  }

  #rangeOfPath() {
    if (!this.path?.length) return { ...this.sight.bounds };
    const times = this.path.map((event) => event.time);
    const [from, to] = [Math.min(...times), Math.max(...times)];
    const margin = Math.max((to - from) * 0.06, 100);
    return inside({ from: from - margin, to: to + margin }, this.sight.bounds);
  }

  // What a person does

  async lookAtAgent(lane) {
    const { source } = this;
    const id = source.lanes.ids[lane];
    if (id === undefined) return;
    try {
      const agent = await this.asker.one(`agents where ${source.here} and id = $id | select start, end`, { id });
      if (agent) this.sight.lookAround(agent.start ?? 0, agent.end ?? source.whole);
    } catch (error) {
      this.#failed(error);
    }
  }

  setFocus(lane) {
    const { lanes } = this.source;
    this.focus = clamped(lane, 0, lanes.count - 1);
    this.sight.showLane(this.focus);
    this.told.textContent = `${lanes.ids[this.focus]}, ${lanes.roles[this.focus] ?? "no role"}, lane ${this.focus + 1} of ${lanes.count}`;
    this.changed();
  }

  /** Put the cursor at a time. */
  scrub(time) {
    this.cursor = { time: clamped(Math.round(time), 0, this.source.whole), seq: null };
    this.panel.showCursor(this.source, this.cursor);
    this.changed();
  }

  /** Put the cursor at an event, and see it. */
  seek(event) {
    this.cursor = { time: event.time, seq: event.seq };
    this.panel.showCursor(this.source, this.cursor);
    this.sight.showTime(event.time);
    const lane = this.source.lanes.index.get(event.agent);
    if (lane !== undefined) this.sight.showLane(lane, true);
    this.changed();
  }

  /** To the next event or the one before; keys that come faster than answers wait their turn. */
  step(direction, isOwn) {
    if (this.steps >= STEPS_MAX) return;
    this.steps += 1;
    this.stepping = this.stepping
      .then(() => this.#step(direction, isOwn))
      .finally(() => {
        this.steps -= 1;
      });
  }

  async #step(direction, isOwn) {
    const { source } = this;
    const agent = isOwn && this.focus >= 0 ? source.lanes.ids[this.focus] : null;
    try {
      const last = this.cursor ? (this.cursor.seq ?? (await source.lastAt(this.cursor.time))) : 0;
      const event = await source.step(last ?? 0, direction, agent);
      if (source !== this.source || this.isGone) return;
      if (event) this.seek(event);
      else this.context.toast(direction > 0 ? "That was the last event" : "That was the first event");
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Select "event:ID" or "goal:ID" (or nothing); with `go` the view moves there. */
  async select(selected, go = false) {
    this.selected = selected;
    this.panel.showSelection(selected);
    this.changed();
    if (!go || !selected) return;
    const [, id] = /^\w+:(.*)$/s.exec(selected);
    const event = await this.asker.one("events where id = $id | select seq, time, agent", { id });
    if (event && this.selected === selected) this.seek(event);
  }

  /** Enter: what is at the cursor is selected, once it has come to where keys sent it. */
  async selectAtCursor() {
    await this.stepping;
    if (!this.cursor) return;
    const seq = this.cursor.seq ?? (await this.source.lastAt(this.cursor.time));
    if (seq) await this.select(`event:${this.source.simulation}:${seq}`);
  }

  escape() {
    if (this.selected) this.select("");
    else if (this.cursor) {
      this.cursor = null;
      this.panel.showCursor(this.source, null);
      this.changed();
    } else return false;
    return true;
  }

  /** The filter was changed: other lanes. */
  async filterChanged(filter) {
    const agent = this.source.lanes?.ids[this.focus];
    await this.#filtered(filter, this.pathId);
    this.focus = this.source.lanes.index.get(agent) ?? -1;
    this.lanesHost.scrollTop = 0;
    this.sight.setHeight(this.sight.laneHeight);
    this.changed();
  }

  // Painting

  changed() {
    const now = performance.now();
    if (now - this.movedAt > STILL_MS) this.movingSince = now;
    this.movedAt = now;
    this.draw();
    clearTimeout(this.writing);
    this.writing = setTimeout(() => this.#write(), URL_MS);
  }

  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (this.source?.lanes && this.sight.range && !this.isGone) this.#paint();
    });
  }

  #paint() {
    const { source, lanesHost } = this;
    const { range, laneHeight, scale, bounds } = this.sight;
    const [width, height] = [lanesHost.clientWidth, lanesHost.clientHeight];
    if (width < GUTTER + 20 || height < 10) return;
    const top = lanesHost.scrollTop;
    const first = Math.max(0, Math.floor(top / laneHeight));
    const last = Math.min(source.lanes.count - 1, Math.floor((top + height) / laneHeight));
    const axis = ticks(scale, 90);
    const { cursor, selected, hovered, focus, path, pointed } = this;
    const view = {
      width,
      height,
      scale,
      top,
      laneHeight,
      first,
      last,
      axis,
      ticks: axis.ticks,
      cursor,
      selected,
      hovered,
      focus,
      path,
      bounds,
      pointed: pointed ?? -1,
      lanes: source.lanes,
      whole: source.whole,
      colours: this.legend.colours,
      simulation: source.simulation,
    };
    source.queue.clear();
    const pieces = this.pieces.of(view);
    view.isLoaded = !source.queue.isBusy;
    this.sight.deepen(pieces.goals);
    this.drawn = this.painter.paint(view, pieces);
    this.header.paint(view, source.states.cover("all", range.from, range.to, levelOf(scale.span, source.whole)));
    this.minimap.paint(view);
    this.view = view;
    this.#load();
    this.wait.hidden = !source.queue.isBusy;
  }

  /** Ask for what is missing; while the view moves only now and then, since most of it would be gone when it comes. */
  #load() {
    const now = performance.now();
    if (now - this.movedAt < STILL_MS && now - Math.max(this.loadedAt, this.movingSince) < MOVING_MS) {
      clearTimeout(this.still);
      this.still = setTimeout(() => this.draw(), STILL_MS);
      return;
    }
    this.loadedAt = now;
    this.source.queue.run();
  }

  #resized() {
    if (!this.source?.lanes) return;
    this.draw();
  }

  #scrolled() {
    if (this.source?.lanes && this.sight.range) this.changed();
  }

  #recolour() {
    this.palette = new Palette(this.host);
    for (const part of [this.painter, this.header, this.minimap, this.legend]) part.palette = this.palette;
    if (this.source?.kinds) this.legend.show(this.source.kinds);
    this.draw();
  }

  // The URL, and what comes while one looks

  #write() {
    // A link may have been followed while this waited.
    if (this.isGone || !this.source?.lanes || read().view !== "timeline") return;
    const { sight } = this;
    const { from, to } = sight.range;
    const lane = sight.laneAt(0);
    this.params = {
      simulation: this.source.simulation,
      ...this.controls.toParams(),
      path: this.pathId,
      from: sight.isWhole ? "" : Math.round(from),
      to: sight.isWhole ? "" : Math.round(to),
      height: sight.laneHeight === sight.heightThatFits ? "" : sight.laneHeight,
      top: lane > 0 ? this.source.lanes.ids[lane] : "",
      agent: this.focus >= 0 ? this.source.lanes.ids[this.focus] : "",
      selected: this.selected,
      at: this.cursor ? Math.round(this.cursor.time) : "",
      seq: this.cursor?.seq ?? "",
    };
    this.context.navigate("timeline", this.params, { replace: true });
  }

  /** While a run goes on its end moves; who looks at the end goes with it. */
  async #live() {
    clearTimeout(this.living);
    const { source } = this;
    try {
      const facts = await this.asker.one("simulations where id = $id | select status, duration", {
        id: source.simulation,
      });
      if (source !== this.source || !facts) return;
      if (facts.duration > source.whole || facts.status !== source.facts.status) await this.#grown(source, facts);
      if (facts.status === "running") this.living = setTimeout(() => this.#live(), LIVE_MS);
    } catch (error) {
      this.#failed(error);
    }
  }

  async #grown(source, facts) {
    this.sight.grown(() => source.grow(facts));
    await source.count();
    await this.#overview();
    await this.panel.showRun(source);
    this.draw();
  }

  #say(title, hint) {
    this.message.hidden = !title;
    this.wait.hidden = true;
    this.message.replaceChildren(element("div", { class: "empty" }, element("strong", {}, title), hint));
  }

  /** The connection is back: what could not be asked is asked again. */
  #again() {
    if (this.context.connection.state !== "open" || !this.source?.facts) return;
    this.source.retry();
    if (!this.minimap.seen) this.#counted(this.source);
    if (this.source.facts.status === "running") this.#live();
    this.draw();
  }

  /** Say what went wrong, once; that the connection is lost the bar says. */
  #failed(error) {
    if (isEnded(error) || error.code === "lost" || this.isGone) return;
    const now = performance.now();
    if (error.message === this.complaint && now - this.complainedAt < COMPLAINT_MS) return;
    [this.complaint, this.complainedAt] = [error.message, now];
    this.context.toast(error.message);
  }

  destroy() {
    this.isGone = true;
    clearTimeout(this.writing);
    clearTimeout(this.living);
    clearTimeout(this.still);
    this.observer.disconnect();
    this.context.theme.removeEventListener?.("change", this.themed);
    this.context.connection.removeEventListener("state", this.connected);
    this.context.keys?.remove("Time line");
    this.panel.close();
    this.source?.close();
    this.asker.close();
  }
}
