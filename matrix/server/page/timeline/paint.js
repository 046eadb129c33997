// The lanes on a canvas: goals as bars, events as marks, messages as arrows, and counts where there are too many of them.
//
// Painting only reads: what is known of the view (`view`), what is loaded (`pieces`). It returns what it drew, for the pointer to find.

import { GUTTER, laneTop, placesOf } from "./geometry.js";
import { Marks } from "./marks.js";
import { cut, fitted } from "./palette.js";
import { roundedText } from "./scale.js";

export class Painter {
  constructor(canvas, palette) {
    this.canvas = canvas;
    this.palette = palette;
  }

  /** Draw everything once. `view`: width, height, scale, top, laneHeight, lanes, colours, selected, hovered, cursor, path, focus. */
  paint(view, pieces) {
    const pen = fitted(this.canvas, view.width, view.height);
    this.pen = pen;
    this.view = view;
    this.drawn = { goals: [], marks: [], arrows: [], instants: [] };
    pen.font = `11px ${this.palette.font}`;
    pen.textBaseline = "middle";
    this.#stripes();
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, view.width - GUTTER, view.height);
    pen.clip();
    this.#grid();
    this.#outside();
    for (const goal of pieces.goals) this.#goal(goal);
    this.#names();
    this.#elsewhere(pieces.goals);
    this.#counts(pieces.counts);
    new Marks(pen, this.palette, view, this.drawn).paint(pieces.events);
    if (view.isLoaded) this.#nothing();
    this.#cursor();
    pen.restore();
    this.#gutter();
    return this.drawn;
  }

  #stripes() {
    const { pen, palette, view } = this;
    const { first, last } = view;
    pen.fillStyle = palette.ground;
    pen.fillRect(0, 0, view.width, view.height);
    pen.fillStyle = palette.line;
    if (view.laneHeight >= 14)
      for (let lane = first; lane <= last; lane += 1)
        pen.fillRect(0, Math.round(laneTop(lane + 1, view)) - 1, view.width, 1);
    if (view.focus >= first && view.focus <= last) {
      pen.globalAlpha = 0.1;
      pen.fillStyle = palette.accent;
      pen.fillRect(0, laneTop(view.focus, view), view.width, view.laneHeight);
      pen.globalAlpha = 1;
    }
  }

  #grid() {
    const { pen, palette, view } = this;
    pen.fillStyle = palette.line;
    for (const time of view.ticks) pen.fillRect(Math.round(view.scale.x(time)), 0, 1, view.height);
  }

  /** Before the run began and after it ended there is nothing, and it should look so. */
  #outside() {
    const { pen, palette, view } = this;
    pen.fillStyle = palette.surface;
    const [begin, end] = [view.scale.x(0), view.scale.x(view.whole)];
    if (begin > GUTTER) pen.fillRect(GUTTER, 0, begin - GUTTER, view.height);
    if (end < view.width) pen.fillRect(end, 0, view.width - end, view.height);
  }

  #goal(goal) {
    const { pen, palette, view } = this;
    if (goal.lane < view.first || goal.lane > view.last) return;
    const end = goal.end ?? view.whole;
    if (end < view.scale.from || goal.start > view.scale.to) return;
    const { top, height } = placesOf(goal.lane, view);
    const row = height / goal.rows;
    const begin = Math.max(view.scale.x(goal.start), GUTTER - 4);
    const x = begin;
    const width = Math.max(1.5, Math.min(view.scale.x(end), view.width + 4) - begin);
    const y = top + goal.row * row;
    const tall = Math.max(1, row - (goal.rows > 1 && row > 4 ? 1 : 0));
    pen.fillStyle = width < 4 || tall < 4 ? palette[goal.status] : palette.fill(pen, goal.status);
    pen.fillRect(x, y, width, tall);
    if (tall >= 5 && width >= 3) this.#outline(goal, x, y, width, tall);
    const isMarked = view.selected === `goal:${goal.id}` || view.hovered === `goal:${goal.id}`;
    this.drawn.goals.push({ goal, x, y, width, height: tall, isMarked });
  }

  #outline(goal, x, y, width, tall) {
    const { pen, palette } = this;
    pen.strokeStyle = palette[goal.status];
    pen.lineWidth = 1;
    pen.setLineDash(goal.status === "cancelled" ? [2, 2] : []);
    pen.beginPath();
    if (goal.end === null) {
      pen.moveTo(x + width, y + 0.5);
      pen.lineTo(x + 0.5, y + 0.5);
      pen.lineTo(x + 0.5, y + tall - 0.5);
      pen.lineTo(x + width, y + tall - 0.5);
    } else pen.rect(x + 0.5, y + 0.5, width - 1, tall - 1);
    pen.stroke();
    pen.setLineDash([]);
  }

  /** Names of goals, in a second pass so that no bar covers one; then the frame of what is selected. */
  #names() {
    const { pen, palette, view } = this;
    pen.textAlign = "left";
    pen.fillStyle = palette.text;
    for (const { goal, x, y, width, height } of this.drawn.goals) {
      if (height < 11 || width < 30) continue;
      const left = Math.max(x, GUTTER) + 5;
      const text = goal.reason ? `${goal.name} · ${goal.reason}` : goal.name;
      const shown = cut(pen, text, x + width - left - 4);
      if (shown) pen.fillText(shown, left, y + height / 2 + 0.5);
    }
    for (const { goal, x, y, width, height, isMarked } of this.drawn.goals) {
      if (!isMarked) continue;
      pen.strokeStyle = view.selected === `goal:${goal.id}` ? palette.accent : palette.text;
      pen.lineWidth = 2;
      pen.strokeRect(x, y, width, height);
    }
  }

  /** An agent whose goals are all before or after what is seen: a sign at that edge says when. */
  #elsewhere(goals) {
    const { pen, palette, view } = this;
    if (view.laneHeight < 10) return;
    const seen = new Set(this.drawn.goals.map(({ goal }) => goal.lane));
    const [before, after] = [new Map(), new Map()];
    for (const { lane, start, end } of goals) {
      if (seen.has(lane) || lane < view.first || lane > view.last) continue;
      if (start > view.scale.to) after.set(lane, Math.min(after.get(lane) ?? Infinity, start));
      else before.set(lane, Math.max(before.get(lane) ?? 0, end ?? view.whole));
    }
    pen.fillStyle = palette.faint;
    for (const [side, text, x] of [
      [before, (time) => `‹ ${roundedText(time)}`, GUTTER + 6],
      [after, (time) => `${roundedText(time)} ›`, view.width - 6],
    ]) {
      pen.textAlign = side === before ? "left" : "right";
      for (const [lane, time] of side) pen.fillText(text(time), x, laneTop(lane, view) + view.laneHeight / 2);
    }
  }

  /** An empty place is said to be one, since it might as well be still to come. */
  #nothing() {
    const { pen, palette, view, drawn } = this;
    if (drawn.goals.length || drawn.marks.length || drawn.isCounted) return;
    pen.fillStyle = palette.faint;
    pen.textAlign = "center";
    pen.fillText("Nothing of these agents in this time", (GUTTER + view.width) / 2, view.height / 2);
  }

  /** Too many events to draw each: how many there are in each piece of time, as the height of a bar. */
  #counts(pieces) {
    const { pen, palette, view } = this;
    let most = 1;
    for (const { counts } of pieces) for (const row of counts) most = Math.max(most, row.count);
    pen.fillStyle = palette.text;
    for (const { counts, step } of pieces) {
      for (const row of counts) {
        if (row.lane < view.first || row.lane > view.last) continue;
        const x = view.scale.x(row.time);
        const width = Math.max(1, step * view.scale.pixels);
        if (x + width < GUTTER || x > view.width) continue;
        this.drawn.isCounted = true;
        const tall = view.laneHeight >= 18 ? 11 : Math.max(2, view.laneHeight - 2);
        const bottom = laneTop(row.lane, view) + view.laneHeight - 2;
        pen.globalAlpha = 0.25 + 0.5 * (Math.log1p(row.count) / Math.log1p(most));
        const height = Math.max(1, tall * (Math.log1p(row.count) / Math.log1p(most)));
        pen.fillRect(x, bottom - height, width, height);
      }
    }
    pen.globalAlpha = 1;
  }

  #cursor() {
    const { pen, palette, view } = this;
    if (!view.cursor) return;
    pen.fillStyle = palette.accent;
    pen.fillRect(Math.round(view.scale.x(view.cursor.time)) - 0.5, 0, 1, view.height);
  }

  #gutter() {
    const { pen, palette, view } = this;
    pen.fillStyle = palette.line;
    pen.fillRect(GUTTER - 1, 0, 1, view.height);
    const every = Math.max(1, Math.ceil(13 / view.laneHeight));
    for (let lane = Math.ceil(view.first / every) * every; lane <= view.last; lane += every) this.#label(lane);
    if (view.pointed >= 0 && view.pointed % every) this.#pointed(view.pointed);
  }

  #label(lane) {
    const { pen, palette, view } = this;
    const y = laneTop(lane, view) + view.laneHeight / 2;
    const role = view.lanes.roles[lane] ?? "";
    const id = view.lanes.ids[lane];
    pen.textAlign = "left";
    pen.fillStyle = lane === view.focus ? palette.accent : palette.text;
    const shown = cut(pen, id, GUTTER - 22) || id;
    pen.fillText(shown, 12, y);
    const left = GUTTER - 26 - pen.measureText(shown).width;
    if (role === id || left < 30) return;
    pen.textAlign = "right";
    pen.fillStyle = palette.muted;
    pen.fillText(cut(pen, role, left), GUTTER - 10, y);
  }

  /** The lane under the pointer is named also where lanes are too low for names. */
  #pointed(lane) {
    const { pen, palette, view } = this;
    const y = laneTop(lane, view) + view.laneHeight / 2;
    pen.fillStyle = palette.surface;
    pen.strokeStyle = palette.strong;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.roundRect(3.5, y - 9.5, GUTTER - 8, 19, 4);
    pen.fill();
    pen.stroke();
    this.#label(lane);
  }
}
