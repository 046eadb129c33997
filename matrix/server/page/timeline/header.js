// Above the lanes: the axis of virtual time, and the simulation's state as a band.
//
// The band has a piece for each state, tinted by the first of its texts that takes few values (a phase, say). Where states change too fast for
// pieces it shows how often they do.

import { roundedText } from "./scale.js";
import { durationText } from "../format.js";
import { cut, fitted } from "./palette.js";
import { GUTTER } from "./geometry.js";
import { dataText } from "./panel.js";

export const AXIS = 24;
export const BAND = 22;
const TINTS_MAX = 8;

export class Header {
  constructor(canvas, palette) {
    this.canvas = canvas;
    this.palette = palette;
    this.tints = new Map();
    this.drawn = [];
  }

  paint(view, tiles) {
    const pen = fitted(this.canvas, view.width, AXIS + BAND);
    this.pen = pen;
    pen.font = `11px ${this.palette.font}`;
    pen.textBaseline = "middle";
    this.#axis(view);
    this.#band(view, tiles);
    this.#labels(view);
    if (view.cursor) this.#flag(view);
  }

  #axis(view) {
    const { pen, palette } = this;
    const { ticks, base } = view.axis;
    pen.textAlign = "center";
    for (const time of ticks) {
      const x = view.scale.x(time);
      if (x < GUTTER - 0.5 || x > view.width) continue;
      pen.fillStyle = palette.strong;
      pen.fillRect(Math.round(x), AXIS - 5, 1, 5);
      pen.fillStyle = palette.muted;
      const text = base ? `+${durationText(time - base)}` : durationText(time);
      if (x > GUTTER + 16 && x < view.width - 16) pen.fillText(text, x, AXIS / 2 - 1);
    }
    pen.fillStyle = palette.line;
    pen.fillRect(0, AXIS - 0.5, view.width, 1);
    pen.fillRect(0, AXIS + BAND - 1, view.width, 1);
  }

  #labels(view) {
    const { pen, palette } = this;
    pen.clearRect(0, 0, GUTTER - 1, AXIS - 1);
    pen.clearRect(0, AXIS + 1, GUTTER - 1, BAND - 2);
    pen.fillStyle = palette.muted;
    pen.textAlign = "left";
    pen.fillText("State", 12, AXIS + BAND / 2);
    pen.textAlign = "right";
    if (view.axis.base) pen.fillText(`${durationText(view.axis.base)} and`, GUTTER - 10, AXIS / 2 - 1);
    pen.fillStyle = palette.line;
    pen.fillRect(GUTTER - 1, 0, 1, AXIS + BAND);
  }

  #band(view, tiles) {
    this.drawn = [];
    const { pen } = this;
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, AXIS, view.width - GUTTER, BAND);
    pen.clip();
    const states = new Map();
    for (const tile of tiles) for (const state of tile.states ?? []) states.set(state.seq, state);
    const ordered = [...states.values()].sort((a, b) => a.seq - b.seq);
    for (let i = 0; i < ordered.length; i += 1) this.#piece(view, ordered[i], ordered[i + 1]?.time ?? view.whole);
    for (const tile of tiles) if (tile.counts) this.#changes(view, tile);
    if (ordered.length === 0 && tiles.length > 0 && tiles.every((tile) => tile.states)) this.#none(view);
    pen.restore();
  }

  #none(view) {
    this.pen.fillStyle = this.palette.faint;
    this.pen.textAlign = "left";
    this.pen.fillText("none", Math.max(GUTTER, view.scale.x(0)) + 7, AXIS + BAND / 2);
  }

  #piece(view, state, until) {
    const { pen, palette } = this;
    const begin = Math.max(GUTTER - 2, view.scale.x(state.time));
    const end = Math.min(view.width + 2, view.scale.x(until));
    if (end <= GUTTER || begin >= view.width) return;
    const width = Math.max(1, end - begin - (end - begin > 4 ? 1 : 0));
    pen.fillStyle = palette.kinds[this.#tint(state.data)];
    pen.globalAlpha = 0.16;
    pen.fillRect(begin, AXIS + 3, width, BAND - 7);
    pen.globalAlpha = 0.9;
    pen.fillRect(begin, AXIS + 3, Math.min(2, width), BAND - 7);
    pen.globalAlpha = 1;
    pen.fillStyle = palette.text;
    pen.textAlign = "left";
    const left = Math.max(begin, GUTTER) + 7;
    const shown = cut(pen, dataText(state.data), end - left - 4);
    if (shown) pen.fillText(shown, left, AXIS + BAND / 2);
    this.drawn.push({ state, begin, end });
  }

  /** Pieces with the same word have the same tint, in the order in which the words are first met. */
  #tint(data) {
    const word =
      data && typeof data === "object" ? Object.values(data).find((value) => typeof value === "string") : undefined;
    if (word === undefined) return 7;
    if (!this.tints.has(word)) this.tints.set(word, this.tints.size % TINTS_MAX);
    return this.tints.get(word);
  }

  #changes(view, { counts, step }) {
    const { pen, palette } = this;
    const most = counts.reduce((max, row) => Math.max(max, row.count), 1);
    pen.fillStyle = palette.muted;
    for (const row of counts) {
      const height = Math.max(1, (BAND - 6) * (row.count / most));
      pen.fillRect(view.scale.x(row.time), AXIS + BAND - 3 - height, Math.max(1, step * view.scale.pixels), height);
    }
  }

  /** The time at the cursor, on the axis. */
  #flag(view) {
    const { pen, palette } = this;
    const x = view.scale.x(view.cursor.time);
    if (x < GUTTER - 1 || x > view.width + 1) return;
    const text = view.scale.span < 1e7 ? durationText(view.cursor.time) : roundedText(view.cursor.time);
    const width = pen.measureText(text).width + 12;
    const left = Math.min(Math.max(x - width / 2, GUTTER), view.width - width);
    pen.fillStyle = palette.accent;
    pen.beginPath();
    pen.roundRect(left, 2, width, AXIS - 7, 4);
    pen.fill();
    pen.fillRect(Math.round(x) - 0.5, AXIS - 6, 1, BAND + 6);
    pen.fillStyle = palette.ground;
    pen.textAlign = "center";
    pen.fillText(text, left + width / 2, AXIS / 2 - 1);
  }

  /** The state whose piece is under a point. */
  at(x) {
    return this.drawn.find(({ begin, end }) => x >= begin && x < end)?.state ?? null;
  }
}
