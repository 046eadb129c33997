// How single values look, as the query language writes them: 1m30s, ISO times, numbers at a glance.
// Durations and clock times are microseconds, a number or (beyond 2^53) a BigInt.

import { stringifyExact } from "./exact.js";

const UNITS = [
  ["d", 86_400_000_000n],
  ["h", 3_600_000_000n],
  ["m", 60_000_000n],
];

const decimal = (value, unit, digits) => {
  const fraction = String(value % unit)
    .padStart(digits, "0")
    .replace(/0+$/, "");
  return `${value / unit}${fraction ? `.${fraction}` : ""}`;
};

/** 90_000_000 -> "1m30s", exactly. */
export function durationText(microseconds) {
  let rest = typeof microseconds === "bigint" ? microseconds : BigInt(Math.round(microseconds));
  if (rest < 0n) return `-${durationText(-rest)}`;
  if (rest > 0n && rest < 1_000n) return `${rest}us`;
  if (rest > 0n && rest < 1_000_000n) return `${decimal(rest, 1_000n, 3)}ms`;
  let text = "";
  for (const [unit, size] of UNITS) {
    if (rest >= size) text += `${rest / size}${unit}`;
    rest %= size;
  }
  return rest > 0n || text === "" ? `${text}${decimal(rest, 1_000_000n, 6)}s` : text;
}

/** Microseconds since 1970 -> "2026-01-01T00:00:00.5Z". */
export function timeText(microseconds) {
  const whole = BigInt(microseconds);
  const rest = ((whole % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const seconds = Number((whole - rest) / 1_000_000n);
  const fraction = rest ? `.${String(rest).padStart(6, "0").replace(/0+$/, "")}` : "";
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fraction}Z`;
}

/** ISO 8601 in UTC, to the microsecond -> microseconds since 1970. */
export function timeValue(text) {
  const [, seconds, fraction = ""] = /^(.*?)(?:\.(\d+))?Z?$/.exec(text);
  return Date.parse(`${seconds}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

/** A number; of a fraction four decimals are enough for a glance. */
export function numberText(number) {
  if (typeof number === "bigint" || Number.isInteger(number)) return String(number);
  const size = Math.abs(number);
  if (!Number.isFinite(number) || size >= 1e15 || (size > 0 && size < 1e-3))
    return String(Number(number.toPrecision(3)));
  return number.toFixed(4).replace(/\.?0+$/, "");
}

/** A count in a sentence: 809,633. */
export const countText = (count) => count.toLocaleString("en-US");

/** 41_943_040 -> "40 MB". */
export function bytesText(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let place = 0;
  let size = bytes;
  for (; size >= 1000 && place < units.length - 1; place += 1) size /= 1000;
  return `${place === 0 || size >= 100 ? Math.round(size) : size.toFixed(1).replace(/\.0$/, "")} ${units[place]}`;
}

/** How long something took by the clock: 0.0123 -> "12 ms". */
export function secondsText(seconds) {
  if (seconds < 0.0995) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  return seconds < 10 ? `${seconds.toFixed(2)} s` : `${Math.round(seconds)} s`;
}

/** A list; the messages of a chat as who says what. */
function listText(items) {
  const isChat = items.length > 0 && items.every((item) => typeof item?.content === "string" && "role" in item);
  if (!isChat) return items.map((item) => cellText(item, "")).join(", ");
  return items.map(({ role, name, content }) => `${name ?? role}: ${content}`).join(" \u00b7 ");
}

/** Any value of a result, on one line. Missing is the empty text. */
export function cellText(value, type) {
  if (value === null || value === undefined) return "";
  switch (type) {
    case "duration":
      return durationText(value);
    case "time":
      return timeText(value);
    case "integer":
    case "float":
      return numberText(value);
    case "list":
      return Array.isArray(value) ? listText(value) : String(value);
    case "json":
      return stringifyExact(value);
    default:
      return typeof value === "object" ? stringifyExact(value) : String(value);
  }
}

/** Are values of this type written with their ends under each other? */
export const isRightAligned = (type) => type === "integer" || type === "float" || type === "duration";
