// The lanes on a canvas: goals as bars, events as marks, messages as arrows, and counts where there are too many of them.
//
// Painting only reads: what is known of the view (`view`), what is loaded (`pieces`). It returns what it drew, for the pointer to find.
// Events of one instant are drawn side by side, in their order, where there is room: virtual time stands while agents act on each other.

import { cut, fitted } from "./palette.js";
import { roundedText } from "./scale.js";

export const GUTTER = 176;
const ARROWS_MAX = 1200;
const LEAVING_MAX = 150;
// Events of one instant are this far apart at most; all of them together are no wider than this share of the run, or so many pixels.
const FAN_PIXELS = 9;
const FAN_SHARE = 0.004;
const FAN_SHORT = 10;
const FAMILIES = { agent: "life", goal: "life", simulation: "life", state: "state", call: "call", tool: "call", model: "call" };

/** What shape an event is drawn in, by its kind. */
export function family(kind) {
  if (kind.endsWith(".failed")) return "failed";
  const dot = kind.indexOf(".");
  return (dot > 0 && FAMILIES[kind.slice(0, dot)]) || "own";
}

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
    const marks = this.#spread(pieces.events);
    if (view.laneHeight >= 10) this.#arrows(marks);
    for (const mark of marks) this.#mark(mark);
    if (view.path) this.#path(view.path, marks);
    this.#cursor();
    pen.restore();
    this.#gutter();
    return this.drawn;
  }

  y(lane) {
    return lane * this.view.laneHeight - this.view.top;
  }

  #stripes() {
    const { pen, palette, view } = this;
    const { first, last } = view;
    pen.fillStyle = palette.ground;
    pen.fillRect(0, 0, view.width, view.height);
    pen.fillStyle = palette.line;
    if (view.laneHeight >= 14) for (let lane = first; lane <= last; lane += 1) pen.fillRect(0, Math.round(this.y(lane + 1)) - 1, view.width, 1);
    if (view.focus >= first && view.focus <= last) {
      pen.globalAlpha = 0.1;
      pen.fillStyle = palette.accent;
      pen.fillRect(0, this.y(view.focus), view.width, view.laneHeight);
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

  /** Where the goals of a lane are, and where its events: both, or on low lanes one over the other. */
  #places(lane) {
    const { laneHeight } = this.view;
    const y = this.y(lane);
    if (laneHeight < 18) return { top: y + (laneHeight > 5 ? 1 : 0), height: laneHeight - (laneHeight > 5 ? 2 : 0), middle: y + laneHeight / 2 };
    return { top: y + 3, height: laneHeight - 15, middle: y + laneHeight - 7.5 };
  }

  #goal(goal) {
    const { pen, palette, view } = this;
    if (goal.lane < view.first || goal.lane > view.last) return;
    const end = goal.end ?? view.whole;
    if (end < view.scale.from || goal.start > view.scale.to) return;
    const { top, height } = this.#places(goal.lane);
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
    for (const [side, text, x] of [[before, (time) => `‹ ${roundedText(time)}`, GUTTER + 6], [after, (time) => `${roundedText(time)} ›`, view.width - 6]]) {
      pen.textAlign = side === before ? "left" : "right";
      for (const [lane, time] of side) pen.fillText(text(time), x, this.y(lane) + view.laneHeight / 2);
    }
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
        const tall = view.laneHeight >= 18 ? 11 : Math.max(2, view.laneHeight - 2);
        const bottom = this.y(row.lane) + view.laneHeight - 2;
        pen.globalAlpha = 0.25 + 0.5 * (Math.log1p(row.count) / Math.log1p(most));
        const height = Math.max(1, tall * (Math.log1p(row.count) / Math.log1p(most)));
        pen.fillRect(x, bottom - height, width, height);
      }
    }
    pen.globalAlpha = 1;
  }

  /** Where each event goes: at its time, and beside others of the same instant as far as the next instant leaves room and the place stays true. */
  #spread(events) {
    const { scale, whole } = this.view;
    const most = Math.max(FAN_SHORT, whole * FAN_SHARE * scale.pixels);
    const marks = [];
    for (let i = 0; i < events.length;) {
      let after = i + 1;
      while (after < events.length && events[after].time === events[i].time) after += 1;
      const begin = scale.x(events[i].time);
      const room = Math.min(most, after < events.length ? scale.x(events[after].time) - begin - 10 : Infinity);
      const step = after - i > 1 ? Math.max(0, Math.min(FAN_PIXELS, room / (after - i - 1))) : 0;
      if (step * (after - i - 1) > 3 * FAN_PIXELS) this.#instant(begin, step * (after - i - 1));
      for (let k = i; k < after; k += 1) marks.push({ event: events[k], x: begin + step * (k - i) });
      i = after;
    }
    for (const mark of marks) mark.y = mark.event.lane < 0 ? -20 : this.#places(mark.event.lane).middle;
    return marks;
  }

  /** A ground behind events that are one instant, so that their order is not taken for time. */
  #instant(begin, width) {
    const { pen, palette, view } = this;
    pen.fillStyle = palette.accent;
    pen.globalAlpha = 0.06;
    pen.fillRect(begin - 5, 0, width + 10, view.height);
    pen.globalAlpha = 1;
    this.drawn.instants.push({ begin: begin - 5, end: begin + width + 5 });
  }

  #colour(kind) {
    return this.view.colours.get(kind) ?? this.palette.muted;
  }

  /** Messages: those with both ends in view first; those that come from or go out of it only while they are few. */
  #arrows(marks) {
    const { pen, view } = this;
    const [inside, leaving] = [[], []];
    for (const mark of marks) {
      if (!mark.event.receivers?.length || mark.x < GUTTER - 40 || mark.x > view.width + 40) continue;
      for (const lane of mark.event.receivers) {
        if (lane === mark.event.lane) continue;
        const ends = Number(isInView(mark.event.lane, view)) + Number(isInView(lane, view));
        if (ends === 2) inside.push([mark, lane]);
        else if (ends === 1) leaving.push([mark, lane]);
      }
    }
    const reactions = new Map();
    for (const mark of marks) if (mark.event.cause !== null) reactions.set(`${mark.event.cause} ${mark.event.lane}`, mark);
    const quiet = view.path ? 0.4 : 1;
    if (leaving.length <= LEAVING_MAX) for (const [mark, lane] of leaving) this.#arrow(mark, lane, reactions, 0.22 * quiet);
    if (inside.length <= ARROWS_MAX) for (const [mark, lane] of inside) this.#arrow(mark, lane, reactions, 0.5 * quiet);
    pen.globalAlpha = 1;
  }

  #arrow(mark, lane, reactions, alpha) {
    const { pen, palette, view } = this;
    const { event, x } = mark;
    const id = `event:${view.simulation}:${event.seq}`;
    const isMarked = view.selected === id || view.hovered === id;
    const answer = reactions.get(`${event.seq} ${lane}`);
    const end = answer && answer.event.time === event.time ? answer.x : x + 5;
    const from = event.lane < 0 ? -30 : mark.y;
    const { middle } = this.#places(lane);
    const to = middle + (from < middle ? -4.5 : 4.5);
    const bend = Math.min(14, Math.abs(to - from) / 6);
    pen.globalAlpha = isMarked ? 1 : alpha;
    pen.strokeStyle = pen.fillStyle = isMarked ? palette.accent : this.#colour(event.kind);
    pen.lineWidth = isMarked ? 2 : 1;
    pen.beginPath();
    pen.moveTo(x, from);
    pen.bezierCurveTo(x + bend, from + (to - from) * 0.3, end, from + (to - from) * 0.6, end, to);
    pen.stroke();
    const down = to > from ? 1 : -1;
    pen.beginPath();
    pen.moveTo(end, to + down * 1.5);
    pen.lineTo(end - 3.2, to - down * 4.5);
    pen.lineTo(end + 3.2, to - down * 4.5);
    pen.fill();
    this.drawn.arrows.push({ event, x, end, from, to });
  }

  #mark(mark) {
    const { pen, palette, view } = this;
    const { event, x, y } = mark;
    if (!isInView(event.lane, view) || x < GUTTER - 6 || x > view.width + 6) return;
    const size = view.laneHeight >= 18 ? 3 : Math.min(2.4, view.laneHeight / 2.6);
    const shape = family(event.kind);
    pen.fillStyle = shape === "failed" ? palette.failed : this.#colour(event.kind);
    if (view.laneHeight < 8) pen.fillRect(x - 0.5, y - view.laneHeight / 2, 1, view.laneHeight);
    else shapes[shape](pen, x, y, size);
    const id = `event:${view.simulation}:${event.seq}`;
    if (view.selected === id || view.hovered === id || view.cursor?.seq === event.seq) {
      pen.strokeStyle = view.hovered === id && view.selected !== id ? palette.text : palette.accent;
      pen.lineWidth = 1.6;
      pen.beginPath();
      pen.arc(x, y, size + 3, 0, 7);
      pen.stroke();
    }
    this.drawn.marks.push(mark);
  }

  /** The way from the first cause to an event, from lane to lane. */
  #path(path, marks) {
    const { pen, palette, view } = this;
    const known = new Map(marks.map((mark) => [mark.event.seq, mark]));
    const points = path.flatMap((event) => {
      const lane = view.lanes.index.get(event.agent);
      if (lane === undefined) return [];
      return [known.get(event.seq) ?? { x: view.scale.x(event.time), y: this.#places(lane).middle }];
    });
    pen.strokeStyle = pen.fillStyle = palette.accent;
    pen.lineWidth = 2;
    pen.lineJoin = "round";
    pen.beginPath();
    for (const { x, y } of points) pen.lineTo(x, y);
    pen.stroke();
    for (const { x, y } of points) {
      pen.beginPath();
      pen.arc(x, y, 3.5, 0, 7);
      pen.fill();
    }
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
    const y = this.y(lane) + view.laneHeight / 2;
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
    const y = this.y(lane) + view.laneHeight / 2;
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

function isInView(lane, view) {
  return lane >= view.first && lane <= view.last;
}

/** How marks look: own kinds are discs, states diamonds, calls squares, beginnings and ends strokes, failures crosses. */
export const shapes = {
  own(pen, x, y, size) {
    pen.beginPath();
    pen.arc(x, y, size, 0, 7);
    pen.fill();
  },
  state(pen, x, y, size) {
    pen.beginPath();
    for (const [dx, dy] of [[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]]) pen.lineTo(x + dx * size, y + dy * size);
    pen.fill();
  },
  call(pen, x, y, size) {
    pen.fillRect(x - size, y - size, 2 * size, 2 * size);
  },
  life(pen, x, y, size) {
    pen.fillRect(x - 0.75, y - size - 1, 1.5, 2 * size + 2);
  },
  failed(pen, x, y, size) {
    pen.strokeStyle = pen.fillStyle;
    pen.lineWidth = 1.8;
    pen.beginPath();
    pen.moveTo(x - size, y - size);
    pen.lineTo(x + size, y + size);
    pen.moveTo(x + size, y - size);
    pen.lineTo(x - size, y + size);
    pen.stroke();
  },
};
