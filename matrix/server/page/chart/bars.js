// Bars: a line a category, one bar, or as many segments as there are series.

import { svg } from "../dom.js";
import { cellText } from "../format.js";
import { niceEnd, ticks, tickText } from "./scale.js";

const BAR = 18;
const GAP = 8;
const TOP = 26;
const BARS_MAX = 500;

/** Draw bars as wide as `width`. `shape`: {categories, series}; `colors(name, place)`; `tell(text, event)` for what is pointed at. */
export function bars({ categories, series }, { width, type, isStacked, color, label, tell }) {
  const shown = categories.slice(0, BARS_MAX);
  const inner = isStacked ? BAR : Math.max(8, Math.min(BAR, Math.floor(46 / series.length)));
  const height = isStacked ? BAR : inner * series.length;
  const left = Math.min(width * 0.35, Math.max(60, ...shown.map(({ name }) => name.length * 7.2 + 24)));
  const longest = Math.max(...shown.map((category) => lengthOf(category, series, isStacked)), 0);
  const right = Math.max(40, cellText(longest, type).length * 7.2 + 16);
  const end = niceEnd(longest, 6, type);
  const scale = (value) => Math.max(0, (value / end) * (width - left - right));
  const full = TOP + shown.length * (height + GAP) + GAP;
  const picture = svg("svg", { width, height: full, role: "img", "aria-label": label });
  for (const tick of ticks(0, end, Math.max(2, Math.floor((width - left) / 110)), type)) {
    const x = Math.round(left + scale(tick)) + 0.5;
    picture.append(
      svg("line", { class: "chart-grid", x1: x, x2: x, y1: TOP - 4, y2: full }),
      svg("text", { class: "chart-tick", x, y: TOP - 10, "text-anchor": "middle" }, tickText(tick, type)),
    );
  }
  shown.forEach((category, place) => {
    const y = TOP + place * (height + GAP) + GAP / 2;
    picture.append(
      svg(
        "text",
        { class: "chart-name", x: left - 10, y: y + height / 2, "text-anchor": "end", "dominant-baseline": "central" },
        cut(category.name, left - 20),
      ),
    );
    picture.append(...segments(category, { y, inner, left, series, isStacked, scale, color, type, tell }));
  });
  return picture;
}

const lengthOf = ({ values }, series, isStacked) =>
  isStacked
    ? series.reduce((sum, name) => sum + Math.max(0, values.get(name) ?? 0), 0)
    : Math.max(...series.map((name) => values.get(name) ?? 0));

function segments(category, { y, inner, left, series, isStacked, scale, color, type, tell }) {
  const made = [];
  let x = left;
  let sum = 0;
  series.forEach((name, place) => {
    const value = category.values.get(name);
    if (value === undefined) return;
    const at = isStacked ? y : y + place * inner;
    const wide = Math.max(value === 0 ? 0 : 1, scale(value));
    const words = `${category.name}${series.length > 1 ? ` \u00b7 ${name}` : ""}: ${cellText(value, type)}`;
    const bar = svg("rect", {
      class: "chart-bar",
      x,
      y: at,
      width: wide,
      height: inner - (isStacked ? 0 : 1),
      rx: 2,
      style: { fill: color(name, place) },
    });
    bar.addEventListener("pointermove", (event) => tell(words, event));
    bar.addEventListener("pointerleave", () => tell(""));
    made.push(bar);
    if (!isStacked) made.push(valueText(x + wide, at + inner / 2, cellText(value, type)));
    else x += wide;
    sum += value;
  });
  if (isStacked)
    made.push(valueText(x, y + inner / 2, cellText(Number.isInteger(sum) ? sum : Number(sum.toPrecision(12)), type)));
  return made;
}

const valueText = (x, y, text) =>
  svg("text", { class: "chart-value", x: x + 6, y, "dominant-baseline": "central" }, text);

const cut = (text, width) =>
  text.length * 7.2 > width ? `${text.slice(0, Math.max(3, Math.floor(width / 7.2) - 1))}\u2026` : text;
