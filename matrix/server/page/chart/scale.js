// Axes: round places for ticks, and how they are written.

import { durationText, numberText, timeText } from "../format.js";

const SECOND = 1_000_000;
const DURATION_STEPS = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  1e3,
  2e3,
  5e3,
  1e4,
  2e4,
  5e4,
  1e5,
  2e5,
  5e5,
  ...[
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600,
    2592000,
  ].map((seconds) => seconds * SECOND),
];

/** Round places from low to high, about so many. */
export function ticks(low, high, about, type) {
  const step =
    type === "duration" || type === "time"
      ? durationStep((high - low) / about)
      : numberStep((high - low) / about, type);
  const made = [];
  for (let place = Math.ceil(low / step) * step; place <= high + step * 1e-9; place += step) made.push(place);
  return made;
}

function numberStep(rough, type) {
  if (!(rough > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((each) => each * size >= rough * 0.999) * size;
  return type === "integer" ? Math.max(1, step) : step;
}

const durationStep = (rough) =>
  DURATION_STEPS.find((step) => step >= rough) ?? Math.ceil(rough / DURATION_STEPS.at(-1)) * DURATION_STEPS.at(-1);

/** A tick in words. */
export function tickText(value, type) {
  if (type === "duration") return durationText(value);
  if (type === "time")
    return timeText(value)
      .replace("T", " ")
      .replace(/(:00)?Z$/, "");
  const size = Math.abs(value);
  if (size >= 1e9) return `${numberText(value / 1e9)}G`;
  if (size >= 1e6) return `${numberText(value / 1e6)}M`;
  if (size >= 1e4) return `${numberText(value / 1e3)}k`;
  return numberText(value);
}

/** The end of an axis from zero: the next round place above. */
export function niceEnd(high, about, type) {
  if (!(high > 0)) return 1;
  const step = type === "duration" ? durationStep(high / about) : numberStep(high / about, type);
  return Math.ceil(high / step - 1e-9) * step;
}
