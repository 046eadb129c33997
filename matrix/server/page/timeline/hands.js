// Pointer, wheel, fingers and keys on the time line.
//
// The wheel zooms around the pointer; with Shift, or sideways, it moves through time; over the names it moves through the lanes, and with Alt it
// makes lanes higher. Dragging moves in both directions; two fingers zoom. A click selects what is under it, or sets the cursor.

import { AXIS } from "./header.js";
import { element } from "../dom.js";
import { GUTTER } from "./geometry.js";
import { wordsFor } from "./words.js";

const CLICK_PIXELS = 4;
const NEAR = 7;

export class Hands {
  /** For the card of keys; `run` is in `#key`, since most of them need the lanes to have the focus. */
  static KEYS = [
    { keys: "← →", label: "move through time" },
    { keys: "↑ ↓", label: "another agent" },
    { keys: "+ -", label: "zoom" },
    { keys: "0", label: "the whole run" },
    { keys: ", .", label: "event before, next event" },
    { keys: "< >", label: "the same, of this agent" },
    { keys: "Enter", label: "select the event at the cursor" },
    { keys: "z", label: "see this agent from its beginning to its end" },
    { keys: "[ ]", label: "lower, higher lanes" },
    { keys: "PageUp PageDown", label: "a page of agents" },
  ];

  constructor(timeline) {
    this.timeline = timeline;
    this.fingers = new Map();
    this.drag = null;
    const { lanesHost, headCanvas, host } = timeline;
    lanesHost.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    headCanvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    lanesHost.addEventListener("pointerdown", (event) => this.#down(event));
    lanesHost.addEventListener("pointermove", (event) => this.#move(event));
    lanesHost.addEventListener("pointerup", (event) => this.#up(event));
    lanesHost.addEventListener("pointercancel", (event) => this.#forget(event));
    lanesHost.addEventListener("dblclick", (event) => this.#double(event));
    lanesHost.addEventListener("pointerleave", () => this.#left());
    headCanvas.addEventListener("pointerdown", (event) => this.#scrubbing(event));
    headCanvas.addEventListener("pointermove", (event) => this.#scrubbing(event));
    headCanvas.addEventListener("pointerleave", () => this.#left());
    host.addEventListener("keydown", (event) => this.#key(event));
  }

  #point(event) {
    const box = this.timeline.lanesHost.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #wheel(event) {
    const { timeline } = this;
    if (!timeline.view) return;
    const { x, y } = this.#point(event);
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const [across, down] = [event.deltaX * unit, event.deltaY * unit];
    if (event.altKey) timeline.sight.heighten(timeline.sight.laneHeight * (down < 0 ? 1.25 : 0.8), y);
    else if (x < GUTTER && !event.ctrlKey) return;
    else if (event.shiftKey || Math.abs(across) > Math.abs(down))
      timeline.sight.pan((across || down) / timeline.sight.scale.width);
    else
      timeline.sight.zoom(
        Math.exp(Math.min(Math.max(down, -300), 300) * (event.ctrlKey ? 0.01 : 0.0022)),
        timeline.sight.scale.time(Math.max(x, GUTTER)),
      );
    event.preventDefault();
  }

  #down(event) {
    if (event.button !== 0 || !this.timeline.view || event.offsetX > this.timeline.lanesHost.clientWidth) return;
    const point = this.#point(event);
    this.fingers.set(event.pointerId, point);
    this.drag = {
      ...point,
      ...this.timeline.sight.range,
      top: this.timeline.lanesHost.scrollTop,
      moved: this.fingers.size > 1,
      gap: this.#gap(),
    };
    this.timeline.lanesHost.setPointerCapture(event.pointerId);
  }

  /** Between two fingers: how far, and where the middle is. */
  #gap() {
    const [one, other] = this.fingers.values();
    return other ? { wide: Math.max(20, Math.abs(one.x - other.x)), middle: (one.x + other.x) / 2 } : null;
  }

  #move(event) {
    const { timeline, drag } = this;
    if (!timeline.view) return;
    const point = this.#point(event);
    if (!drag || !this.fingers.has(event.pointerId)) {
      this.#hover(event, point);
      return;
    }
    this.fingers.set(event.pointerId, point);
    if (drag.gap) {
      this.#pinch();
      return;
    }
    const [across, down] = [point.x - drag.x, point.y - drag.y];
    if (!drag.moved && Math.hypot(across, down) < CLICK_PIXELS) return;
    drag.moved = true;
    timeline.lanesHost.classList.add("dragged");
    const shift = (across / timeline.sight.scale.width) * (drag.to - drag.from);
    if (drag.x >= GUTTER) timeline.sight.look(drag.from - shift, drag.to - shift);
    timeline.lanesHost.scrollTop = drag.top - down;
  }

  #pinch() {
    const { timeline, drag } = this;
    const now = this.#gap();
    if (!now) return;
    const { left, width } = timeline.sight.scale;
    const span = (drag.to - drag.from) * (drag.gap.wide / now.wide);
    const time = drag.from + ((drag.gap.middle - left) / width) * (drag.to - drag.from);
    const from = time - ((now.middle - left) / width) * span;
    timeline.sight.look(from, from + span);
  }

  #up(event) {
    const { drag } = this;
    const wasOne = this.fingers.size === 1;
    this.#forget(event);
    if (drag && wasOne && !drag.moved) this.#click(event);
  }

  #forget(event) {
    this.fingers.delete(event.pointerId);
    this.timeline.lanesHost.classList.remove("dragged");
    if (this.fingers.size === 0) this.drag = null;
  }

  #click(event) {
    const { timeline } = this;
    const { x, y } = this.#point(event);
    const lane = timeline.sight.laneAt(y);
    if (lane < timeline.source.lanes.count) timeline.focus = lane;
    if (x < GUTTER) {
      timeline.changed();
      return;
    }
    const found = this.find(x, y);
    if (found?.event) {
      timeline.cursor = { time: found.event.time, seq: found.event.seq };
      timeline.panel.showCursor(timeline.source, timeline.cursor);
      timeline.select(`event:${timeline.source.simulation}:${found.event.seq}`);
    } else if (found?.goal) timeline.select(`goal:${found.goal.id}`);
    else timeline.scrub(timeline.sight.scale.time(x));
  }

  /** Twice on a goal: see all of it; on a name: see the agent from its beginning to its end. */
  #double(event) {
    const { timeline } = this;
    const { x, y } = this.#point(event);
    const found = this.find(x, y);
    if (found?.goal) timeline.sight.lookAround(found.goal.start, found.goal.end ?? timeline.source.whole);
    else if (x < GUTTER) timeline.lookAtAgent(timeline.sight.laneAt(y));
  }

  /** What is drawn at a point: a mark before an arrow, an arrow before a bar. */
  find(x, y) {
    const { drawn } = this.timeline;
    if (!drawn || x < GUTTER) return null;
    let [best, distance] = [null, NEAR];
    for (const mark of drawn.marks) {
      const far = Math.hypot(mark.x - x, mark.y - y);
      if (far < distance) [best, distance] = [mark, far];
    }
    if (best) return { event: best.event };
    for (const arrow of drawn.arrows) {
      const share = (y - arrow.from) / (arrow.to - arrow.from);
      if (share > 0 && share < 1 && Math.abs(arrow.x + (arrow.end - arrow.x) * share - x) < 5)
        return { event: arrow.event };
    }
    const bar = drawn.goals.findLast(
      (one) => x >= one.x - 1 && x <= one.x + one.width + 1 && y >= one.y && y <= one.y + one.height,
    );
    return bar ? { goal: bar.goal } : null;
  }

  #hover(event, { x, y }) {
    const { timeline } = this;
    const found = this.find(x, y);
    const lane = timeline.sight.laneAt(y);
    const id = found?.goal
      ? `goal:${found.goal.id}`
      : found?.event
        ? `event:${timeline.source.simulation}:${found.event.seq}`
        : "";
    if (id !== timeline.hovered || lane !== timeline.pointed) {
      timeline.hovered = id;
      timeline.pointed = lane;
      timeline.draw();
    }
    timeline.lanesHost.classList.toggle("found", Boolean(found));
    this.#tip(event, found);
  }

  #left() {
    const { timeline } = this;
    timeline.tip.hidden = true;
    if (!timeline.hovered && timeline.pointed === -1) return;
    timeline.hovered = "";
    timeline.pointed = -1;
    timeline.draw();
  }

  #tip(event, found) {
    const { tip, main } = this.timeline;
    const words = wordsFor(found, this.timeline.source);
    tip.hidden = !words;
    if (!words) return;
    const [title, ...lines] = words;
    tip.replaceChildren(element("strong", {}, title), ...lines.map((text) => element("div", {}, text ?? "")));
    const box = main.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    tip.style.left = `${Math.min(x + 14, box.width - tip.offsetWidth - 8)}px`;
    tip.style.top = `${y + 18 + tip.offsetHeight > box.height ? y - tip.offsetHeight - 10 : y + 18}px`;
  }

  /** On the axis the pointer drags the cursor; on the band it tells the state. */
  #scrubbing(event) {
    const { timeline } = this;
    if (!timeline.view || event.offsetX < GUTTER) return;
    if (event.type === "pointerdown") timeline.headCanvas.setPointerCapture(event.pointerId);
    if (event.buttons & 1) timeline.scrub(timeline.sight.scale.time(event.offsetX));
    const state = event.offsetY > AXIS ? timeline.header.at(event.offsetX) : null;
    this.#tip(event, state ? { state } : null);
  }

  #key(event) {
    const { timeline } = this;
    const isTyping = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName);
    if (
      !timeline.view ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      isTyping ||
      event.target.closest("[role=tree]")
    )
      return;
    const isOnLanes =
      event.target === timeline.lanesHost || event.target === timeline.host || event.target === document.body;
    const { sight } = timeline;
    const page = Math.max(1, Math.floor(timeline.lanesHost.clientHeight / sight.laneHeight) - 1);
    const { from, to } = sight.range;
    const middle =
      timeline.cursor && timeline.cursor.time >= from && timeline.cursor.time <= to
        ? timeline.cursor.time
        : (from + to) / 2;
    const anywhere = {
      "+": () => sight.zoom(0.6, middle),
      "=": () => sight.zoom(0.6, middle),
      "-": () => sight.zoom(1 / 0.6, middle),
      0: () => sight.fit(),
      ",": () => timeline.step(-1, false),
      ".": () => timeline.step(1, false),
      "<": () => timeline.step(-1, true),
      ">": () => timeline.step(1, true),
      "[": () => sight.heighten(sight.laneHeight / 1.25 - 1),
      "]": () => sight.heighten(sight.laneHeight * 1.25 + 1),
      z: () => timeline.focus >= 0 && timeline.lookAtAgent(timeline.focus),
      Escape: () => timeline.escape(),
    };
    const onLanes = {
      ArrowLeft: () => sight.pan(event.shiftKey ? -0.5 : -0.1),
      ArrowRight: () => sight.pan(event.shiftKey ? 0.5 : 0.1),
      ArrowUp: () => timeline.setFocus(timeline.focus - 1),
      ArrowDown: () => timeline.setFocus(timeline.focus + 1),
      PageUp: () => timeline.setFocus(timeline.focus - page),
      PageDown: () => timeline.setFocus(timeline.focus + page),
      Home: () => timeline.setFocus(0),
      End: () => timeline.setFocus(Infinity),
      Enter: () => timeline.selectAtCursor(),
    };
    const act = anywhere[event.key] ?? (isOnLanes ? onLanes[event.key] : undefined);
    if (!act || act() === false) return;
    event.preventDefault();
    event.stopPropagation();
  }
}
