// Which piece is seen: from when to when, which lanes, and how high they are. Everything that moves or zooms ends here, and is kept within bounds.

import { GUTTER } from "./geometry.js";
import { Scale, SPAN_MIN, inside, zoomed } from "./scale.js";

const EDGE = 0.015;
const HEIGHT_MIN = 2;
const HEIGHT_MAX = 88;

export class Sight {
  /** `host` scrolls through the lanes, `spacer` is as high as all of them; `changed()` hears of every movement. */
  constructor(host, spacer, changed) {
    this.host = host;
    this.spacer = spacer;
    this.changed = changed;
    this.source = null;
    this.range = null;
    this.laneHeight = 26;
  }

  /** Another simulation: nothing of it is seen yet. */
  begin(source) {
    this.source = source;
    this.range = null;
  }

  get bounds() {
    const { whole } = this.source;
    return { from: -whole * EDGE, to: whole * (1 + EDGE) };
  }

  get isWhole() {
    const { bounds, range } = this;
    return range.to - range.from >= (bounds.to - bounds.from) * 0.9999;
  }

  /** Where times are now; what was painted last may be a moment older. */
  get scale() {
    return new Scale(this.range.from, this.range.to, GUTTER, this.host.clientWidth - GUTTER);
  }

  get middle() {
    return (this.range.from + this.range.to) / 2;
  }

  /** See a piece of time. */
  look(from, to) {
    this.range = inside({ from, to: Math.max(to, from + SPAN_MIN) }, this.bounds);
    this.changed();
  }

  zoom(factor, time) {
    this.range = zoomed(this.range, factor, time, this.bounds);
    this.changed();
  }

  pan(share) {
    const move = (this.range.to - this.range.from) * share;
    this.look(this.range.from + move, this.range.to + move);
  }

  fit() {
    this.look(this.bounds.from, this.bounds.to);
  }

  /** See from one time to another, with some room at both ends. */
  lookAround(from, to) {
    const margin = Math.max((to - from) * 0.05, 50);
    this.look(from - margin, to + margin);
  }

  /** A height at which few agents fill the view and many can still be read, also where goals are within goals. */
  get heightThatFits() {
    const room = this.host.clientHeight || 500;
    return clamped(
      Math.floor(room / Math.max(1, this.source.lanes.count)),
      14 + 13 * Math.min(this.source.deepest, 3),
      HEIGHT_MAX,
    );
  }

  /** Which lane is at a place of the view; there may be none so far down. */
  laneAt(y) {
    return Math.floor((this.host.scrollTop + y) / this.laneHeight);
  }

  setHeight(height) {
    this.laneHeight = clamped(Math.round(height), HEIGHT_MIN, HEIGHT_MAX);
    this.spacer.style.height = `${(this.source.lanes?.count ?? 0) * this.laneHeight}px`;
  }

  /** Make lanes higher or lower around one of them. */
  heighten(height, y = this.host.clientHeight / 2) {
    const lane = (this.host.scrollTop + y) / this.laneHeight;
    this.setHeight(height);
    this.host.scrollTop = lane * this.laneHeight - y;
    this.changed();
  }

  /** Goals turned out to be deeper: lanes grow, unless somebody chose their height. */
  deepen(goals) {
    const isOurs = this.laneHeight === this.heightThatFits;
    this.source.deepest = goals.reduce((most, { rows }) => Math.max(most, rows), this.source.deepest);
    if (isOurs && this.laneHeight !== this.heightThatFits) this.heighten(this.heightThatFits, 0);
  }

  /** Scroll as little as shows a lane; with `far` lanes that were out of sight come to the middle. */
  showLane(lane, far = false) {
    const [y, room] = [lane * this.laneHeight, this.host.clientHeight];
    const { scrollTop } = this.host;
    if (y >= scrollTop && y + this.laneHeight <= scrollTop + room) return;
    if (far) this.host.scrollTop = y - room / 2;
    else this.host.scrollTop = y < scrollTop ? y : y + this.laneHeight - room;
  }

  /** Move as little as shows a time: not at all when it is seen already. */
  showTime(time) {
    const { from, to } = this.range;
    const span = to - from;
    if (time < from + span * 0.02 || time > to - span * 0.04)
      this.range = inside({ from: time - span / 2, to: time + span / 2 }, this.bounds);
  }

  /** The run has become longer by `grow`: who saw all sees all, who saw the end sees the end. */
  grown(grow) {
    const [span, follows] = [this.range.to - this.range.from, this.range.to >= this.source.whole];
    const wasWhole = span >= (this.bounds.to - this.bounds.from) * 0.99;
    grow();
    if (wasWhole) this.range = { ...this.bounds };
    else if (follows) this.range = { from: this.bounds.to - span, to: this.bounds.to };
  }
}

export function clamped(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
