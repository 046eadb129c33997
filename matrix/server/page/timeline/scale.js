// Virtual time across the screen: microseconds to pixels and back, and round steps for an axis.
// Times are whole microseconds from the start of the run, as JavaScript numbers (exact up to 285 years).

import { durationText } from "../format.js";

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500]
  .flatMap((step) => [step, step * 1e3])
  .concat(
    [1, 2, 5, 10, 15, 30].flatMap((step) => [step * 1e6, step * 60e6]),
    [1, 2, 3, 6, 12].map((step) => step * 3600e6),
  )
  .concat([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000].map((step) => step * 86_400e6))
  .sort((a, b) => a - b);
const BASES = [1e3, 1e6, 60e6, 3600e6, 86_400e6];
export const SPAN_MIN = 20;

/** A duration to about three figures, where a glance is enough. */
export function roundedText(us) {
  if (us < 1e3) return durationText(Math.round(us));
  for (const [limit, unit] of [
    [1e6, 10],
    [60e6, 1e4],
    [3600e6, 1e6],
    [86_400e6, 60e6],
  ]) {
    if (us < limit) return durationText(Math.round(us / unit) * unit);
  }
  return durationText(Math.round(us / 3600e6) * 3600e6);
}

/** From `from` to `to`, drawn between the pixels `left` and `left + width`. A value: changes make another one. */
export class Scale {
  constructor(from, to, left, width) {
    this.from = from;
    this.to = to;
    this.left = left;
    this.width = Math.max(1, width);
    this.pixels = this.width / (to - from);
  }

  get span() {
    return this.to - this.from;
  }

  x(time) {
    return this.left + (time - this.from) * this.pixels;
  }

  time(x) {
    return this.from + (x - this.left) / this.pixels;
  }
}

/** The range after a zoom by `factor` that leaves `time` where it is, within the bounds and no smaller than can be told apart. */
export function zoomed({ from, to }, factor, time, bounds) {
  const span = Math.min(Math.max((to - from) * factor, SPAN_MIN), bounds.to - bounds.from);
  const begin = time - ((time - from) / (to - from)) * span;
  return inside({ from: begin, to: begin + span }, bounds);
}

/** The range moved until it lies within the bounds, as wide as it was. */
export function inside({ from, to }, bounds) {
  const span = Math.min(to - from, bounds.to - bounds.from);
  const begin = Math.min(Math.max(from, bounds.from), bounds.to - span);
  return { from: begin, to: begin + span };
}

/** Round times for an axis: `{step, base, ticks}`. Labels are counted from `base`, since whole times would be too long at a close zoom. */
export function ticks(scale, pixels_min) {
  const wanted = (scale.span / scale.width) * pixels_min;
  const step = STEPS.find((size) => size >= wanted) ?? STEPS[STEPS.length - 1];
  const unit = BASES.find((size) => size >= step * 20) ?? Infinity;
  const base = step < 1e6 && scale.from >= unit ? Math.floor(scale.from / unit) * unit : 0;
  const found = [];
  for (let time = Math.ceil(scale.from / step) * step; time <= scale.to; time += step) if (time >= 0) found.push(time);
  return { step, base, ticks: found };
}
