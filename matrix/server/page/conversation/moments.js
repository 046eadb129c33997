// Virtual times at a glance: three figures are enough, the exact value stands beside.

import { durationText } from "../format.js";

const MINUTE = 60_000_000;

/** 1_261_286 -> "1.26s", 29_760_500_000 -> "8h16m1s", 14_388 -> "14.4ms". */
export function glanceText(microseconds) {
  if (microseconds === null || microseconds === undefined) return "";
  const value = Number(microseconds);
  const size = Math.abs(value);
  if (size >= 60 * MINUTE) return durationText(Math.round(value / 1_000_000) * 1_000_000);
  if (size >= MINUTE) return durationText(Math.round(value / 100_000) * 100_000);
  return durationText(Number(value.toPrecision(3)));
}
