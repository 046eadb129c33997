// The whole run in one strip: how much happened when, when goals ended and how, and which piece of it is seen. A brush moves that piece.

import { fitted } from "./palette.js";
import { GUTTER } from "./geometry.js";
import { Scale } from "./scale.js";

export const HEIGHT = 46;
const EDGE = 6;
const ENDED = { "goal.succeeded": "succeeded", "goal.failed": "failed", "goal.cancelled": "cancelled" };

export class Minimap {
  /** `changed(from, to)` is called while the brush moves. */
  constructor(canvas, palette, { changed }) {
    this.canvas = canvas;
    this.palette = palette;
    this.changed = changed;
    this.seen = null;
    this.drag = null;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", () => {
      this.drag = null;
    });
    canvas.addEventListener("pointercancel", () => {
      this.drag = null;
    });
  }

  paint(view) {
    const { palette } = this;
    const pen = fitted(this.canvas, view.width, HEIGHT);
    this.view = view;
    this.scale = new Scale(view.bounds.from, view.bounds.to, GUTTER, view.width - GUTTER);
    pen.font = `11px ${palette.font}`;
    pen.textBaseline = "middle";
    pen.fillStyle = palette.muted;
    pen.fillText("Whole run", 12, 15);
    pen.fillStyle = palette.faint;
    pen.fillText("goals ended", 12, 36);
    if (this.seen) this.#seen(pen);
    this.#brush(pen);
    pen.fillStyle = palette.line;
    pen.fillRect(0, HEIGHT - 1, view.width, 1);
    pen.fillRect(GUTTER - 1, 0, 1, HEIGHT);
  }

  #seen(pen) {
    const { palette, scale, seen } = this;
    const width = Math.max(1, seen.step * scale.pixels);
    const most = seen.events.reduce((max, row) => Math.max(max, row.count), 1);
    pen.fillStyle = palette.muted;
    pen.globalAlpha = 0.6;
    for (const { time, count } of seen.events) {
      const height = Math.max(1, 24 * Math.sqrt(count / most));
      pen.fillRect(scale.x(time), 28 - height, width, height);
    }
    pen.globalAlpha = 1;
    const ended = Map.groupBy(seen.goals, (row) => row.time);
    for (const [time, rows] of ended) {
      const sum = rows.reduce((total, row) => total + row.count, 0);
      let y = 31;
      for (const { kind, count } of rows) {
        const height = 11 * (count / sum);
        pen.fillStyle = palette[ENDED[kind]];
        pen.fillRect(scale.x(time), y, Math.max(1.2, width), height);
        y += height;
      }
    }
  }

  #brush(pen) {
    const { palette, scale, view } = this;
    const [begin, end] = [Math.max(GUTTER, scale.x(view.scale.from)), Math.min(view.width, scale.x(view.scale.to))];
    const whole = end - begin > view.width - GUTTER - 2;
    pen.fillStyle = palette.ground;
    pen.globalAlpha = 0.6;
    pen.fillRect(GUTTER, 0, begin - GUTTER, HEIGHT);
    pen.fillRect(end, 0, view.width - end, HEIGHT);
    pen.globalAlpha = 1;
    if (!whole) {
      pen.globalAlpha = 0.09;
      pen.fillStyle = palette.accent;
      pen.fillRect(begin, 0, Math.max(2, end - begin), HEIGHT);
      pen.globalAlpha = 1;
    }
    pen.fillStyle = palette.accent;
    for (const x of [begin, Math.max(end, begin + 2)]) {
      pen.fillRect(x - 0.75, 0, 1.5, HEIGHT - 1);
      pen.beginPath();
      pen.roundRect(x - 2.5, HEIGHT / 2 - 8, 5, 16, 2.5);
      pen.fill();
    }
    if (!view.cursor) return;
    pen.fillRect(scale.x(view.cursor.time), 0, 1, HEIGHT);
  }

  /** Which part of the brush is at a place: an edge, the middle, or none. */
  #part(x) {
    const [begin, end] = [this.scale.x(this.view.scale.from), this.scale.x(this.view.scale.to)];
    if (Math.abs(x - begin) <= EDGE) return "from";
    if (Math.abs(x - end) <= EDGE) return "to";
    return x > begin && x < end && end - begin < this.view.width - GUTTER - 2 ? "middle" : "new";
  }

  #down(event) {
    if (!this.scale || event.offsetX < GUTTER - EDGE) return;
    const { from, to } = this.view.scale;
    const time = this.scale.time(event.offsetX);
    this.drag = { part: this.#part(event.offsetX), time, from, to };
    this.canvas.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (!this.scale) return;
    if (!this.drag) {
      const part = this.#part(event.offsetX);
      this.canvas.style.cursor = { from: "ew-resize", to: "ew-resize", middle: "grab", new: "crosshair" }[part];
      return;
    }
    const { part, time, from, to } = this.drag;
    const now = this.scale.time(event.offsetX);
    if (part === "middle") this.changed(from + now - time, to + now - time);
    else {
      const anchor = part === "from" ? to : part === "to" ? from : time;
      if (Math.abs(now - anchor) * this.scale.pixels > 1) this.changed(Math.min(anchor, now), Math.max(anchor, now));
    }
  }
}
