// Events as marks and messages as arrows, over what else is painted of the lanes.
//
// Events of one instant are drawn side by side, in their order, where there is room: virtual time stands while agents act on each other. How they
// look: own kinds are discs, states diamonds, calls squares, beginnings and ends strokes, failures crosses.

import { GUTTER, isInView, placesOf } from "./geometry.js";

const ARROWS_MAX = 1200;
const LEAVING_MAX = 150;
const CROWD_PIXELS = 16;
const CROWD_MAX = 4;
// Events of one instant are this far apart at most; all of them together are no wider than this share of the run, or so many pixels.
const FAN_PIXELS = 9;
const FAN_SHARE = 0.004;
const FAN_SHORT = 10;
const FAMILIES = {
  agent: "life",
  goal: "life",
  simulation: "life",
  state: "state",
  call: "call",
  tool: "call",
  model: "call",
};

/** What shape an event is drawn in, by its kind. */
export function family(kind) {
  if (kind.endsWith(".failed")) return "failed";
  const dot = kind.indexOf(".");
  return (dot > 0 && FAMILIES[kind.slice(0, dot)]) || "own";
}

export class Marks {
  constructor(pen, palette, view, drawn) {
    Object.assign(this, { pen, palette, view, drawn });
  }

  /** Draw the events; what was drawn goes into `drawn`. */
  paint(events) {
    const { view } = this;
    const marks = this.#spread(events.filter((event) => this.#concerns(event)));
    if (view.laneHeight >= 10) this.#arrows(marks);
    for (const mark of marks) this.#mark(mark);
    if (view.path) this.#path(view.path, marks);
  }

  /** Is it done by an agent that is seen, or said to one? Others must not push those aside. */
  #concerns({ lane, receivers }) {
    return isInView(lane, this.view) || Boolean(receivers?.some((other) => isInView(other, this.view)));
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
    for (const mark of marks) mark.y = mark.event.lane < 0 ? -20 : placesOf(mark.event.lane, this.view).middle;
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
    const said = marks.filter(({ event, x }) => event.receivers?.length && x >= GUTTER - 40 && x <= view.width + 40);
    for (const mark of this.#apart(said)) {
      for (const lane of mark.event.receivers) {
        if (lane === mark.event.lane) continue;
        const ends = Number(isInView(mark.event.lane, view)) + Number(isInView(lane, view));
        if (ends === 2) inside.push([mark, lane]);
        else if (ends === 1) leaving.push([mark, lane]);
      }
    }
    const reactions = new Map();
    for (const mark of marks)
      if (mark.event.cause !== null) reactions.set(`${mark.event.cause} ${mark.event.lane}`, mark);
    const quiet = view.path ? 0.4 : 1;
    if (leaving.length <= LEAVING_MAX)
      for (const [mark, lane] of leaving) this.#arrow(mark, lane, reactions, 0.22 * quiet);
    if (inside.length <= ARROWS_MAX) for (const [mark, lane] of inside) this.#arrow(mark, lane, reactions, 0.5 * quiet);
    pen.globalAlpha = 1;
  }

  /** Those that can be told apart: where many messages are at one place arrows would only be a smear, and come when one zooms in. */
  #apart(said) {
    const crowds = new Map();
    for (const { x } of said)
      crowds.set(Math.floor(x / CROWD_PIXELS), (crowds.get(Math.floor(x / CROWD_PIXELS)) ?? 0) + 1);
    return said.filter(
      (mark) => crowds.get(Math.floor(mark.x / CROWD_PIXELS)) <= CROWD_MAX || this.#isMarked(mark.event),
    );
  }

  #isMarked({ seq }) {
    const id = `event:${this.view.simulation}:${seq}`;
    return this.view.selected === id || this.view.hovered === id;
  }

  #arrow(mark, lane, reactions, alpha) {
    const { pen, palette, view } = this;
    const { event, x } = mark;
    const isMarked = this.#isMarked(event);
    const answer = reactions.get(`${event.seq} ${lane}`);
    const end = answer && answer.event.time === event.time ? answer.x : x + 5;
    const from = event.lane < 0 ? -30 : mark.y;
    const { middle } = placesOf(lane, view);
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
      return [known.get(event.seq) ?? { x: view.scale.x(event.time), y: placesOf(lane, view).middle }];
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
}

/** How marks are drawn, by family. */
export const shapes = {
  own(pen, x, y, size) {
    pen.beginPath();
    pen.arc(x, y, size, 0, 7);
    pen.fill();
  },
  state(pen, x, y, size) {
    pen.beginPath();
    for (const [dx, dy] of [
      [0, -1.4],
      [1.4, 0],
      [0, 1.4],
      [-1.4, 0],
    ])
      pen.lineTo(x + dx * size, y + dy * size);
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
