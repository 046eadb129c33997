// What of a result can be drawn: which columns are keys, which one is time, which are the numbers.

import { cellText } from "../format.js";

const ROWS_MAX = 20_000;
const SERIES_MAX = 8;
const NUMBERS = new Set(["integer", "float", "duration"]);
const OF_ROWS = new Set(["id", "seq", "data"]);

/** {x, keys, values}: places of columns; undefined where there is nothing to draw. `x` is a bucket of `per`. */
export function shapeOf(result, text) {
  const { columns, length } = result;
  if (length < 2 || length > ROWS_MAX || columns.some(({ name }) => OF_ROWS.has(name))) return undefined;
  const step = columns.findIndex(({ name }, place) => name === "step" && columns[place + 1]?.name === "event");
  if (step >= 0) return funnelOf(columns, step);
  if (/^\s*explain\b/.test(text)) return undefined;
  const time = /\bper\b/.test(text) ? columns.findIndex(({ name }) => name === "time") : -1;
  const count = time >= 0 ? time : keyCount(columns, text);
  const keys = columns.slice(0, count).map((column, place) => place);
  const values = columns
    .map((column, place) => place)
    .filter((place) => place >= count && place !== time && NUMBERS.has(columns[place].type));
  if (values.length === 0 || (time < 0 && keys.length === 0)) return undefined;
  return { x: time >= 0 ? time : undefined, keys, values };
}

/** A funnel: a bar an event, a colour a group. */
function funnelOf(columns, step) {
  const groups = columns.slice(0, step).map((column, place) => place);
  const values = columns.map((column, place) => place).filter((place) => place > step + 1);
  return {
    x: undefined,
    keys: [step + 1, ...groups],
    values: values.filter((place) => NUMBERS.has(columns[place].type)),
  };
}

/** How many columns stand before the numbers: as the text says, else up to the last that is no number. */
function keyCount(columns, text) {
  const by = /^[^]*\bby\s+([^|]*?)\s*(?:$|\|)/.exec(text.replace(/\|\s*(?:sort|limit|where|sample)[^|]*/g, ""));
  const told = by ? by[1].split(",").length : 0;
  if (told > 0 && told < columns.length) return told;
  const last = columns.findLastIndex(({ type }) => !NUMBERS.has(type));
  return last >= 0 ? last + 1 : Math.min(1, columns.length - 1);
}

/** Can values of this column be added up? */
export const isAdditive = (name) => /^(?:count|sum)/.test(name) || name === "reached";

const labelOf = (result, row, places) =>
  places.map((place) => cellText(result.at(row, place), result.columns[place].type) || "(none)").join(" \u00b7 ");

const number = (value) => (value === null ? null : Number(value));

/** Series of points over x: {series: [{name, points: [[x, y]]}], left}. The largest first; `left` were left out. */
export function linesOf(result, shape, value) {
  const found = new Map();
  for (let row = 0; row < result.length; row += 1) {
    const y = number(result.at(row, value));
    if (y === null || result.at(row, shape.x) === null) continue;
    const name = labelOf(result, row, shape.keys) || result.columns[value].name;
    if (!found.has(name)) found.set(name, { name, points: [], total: 0 });
    const series = found.get(name);
    series.points.push([Number(result.at(row, shape.x)), y]);
    series.total += Math.abs(y);
  }
  const all = [...found.values()].sort((one, other) => other.total - one.total);
  const series = all.slice(0, SERIES_MAX);
  for (const { points } of all) points.sort((one, other) => one[0] - other[0]);
  if (isAdditive(result.columns[value].name)) fillGaps(series, all);
  return { series, left: all.length - series.length };
}

/** Buckets that are not there had nothing in them: of a count that is zero, and the line goes down to it. */
function fillGaps(series, all) {
  const xs = [...new Set(all.flatMap(({ points }) => points.map(([x]) => x)))].sort((one, other) => one - other);
  const step = xs.slice(1).reduce((least, x, place) => Math.min(least, x - xs[place]), Infinity);
  if (!Number.isFinite(step)) return;
  for (const each of series) {
    const known = new Map(each.points);
    const filled = [];
    for (const [place, x] of xs.entries()) {
      const before = xs[place - 1];
      if (before !== undefined && x - before > step * 1.5) {
        filled.push([before + step, 0]);
        if (x - before > step * 2.5) filled.push([x - step, 0]);
      }
      filled.push([x, known.get(x) ?? 0]);
    }
    each.points = filled;
  }
}

/** Bars: {categories: [{name, values: Map(series -> number), total}], series: [names], left}. */
export function barsOf(result, shape, value) {
  const [first, ...others] = shape.keys;
  const totals = new Map();
  const categories = new Map();
  for (let row = 0; row < result.length; row += 1) {
    const y = number(result.at(row, value));
    const name = labelOf(result, row, [first]);
    const series = labelOf(result, row, others) || result.columns[value].name;
    if (!categories.has(name)) categories.set(name, { name, values: new Map(), total: 0 });
    const category = categories.get(name);
    category.values.set(series, (category.values.get(series) ?? 0) + (y ?? 0));
    category.total += y ?? 0;
    totals.set(series, (totals.get(series) ?? 0) + Math.abs(y ?? 0));
  }
  const series = [...totals].sort((one, other) => other[1] - one[1]).map(([name]) => name);
  const shown = series.slice(0, SERIES_MAX);
  return { categories: [...categories.values()], series: shown, left: series.length - shown.length };
}
