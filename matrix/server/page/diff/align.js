// Two histories beside each other: which events of one answer to which of the other.
//
// What always holds: both sides keep their order, and every event is in exactly one row. Rows are "same", "changed"
// (same kind and agent, other values) or there on one side only. Virtual time and measured durations do not count.

import { stringifyExact } from "../exact.js";

const MEASURED = new Set(["ms", "waited_ms", "step", "arrival"]);

/** What two events must share to be the same. */
export function signature(event) {
  const data =
    event.data && typeof event.data === "object"
      ? Object.fromEntries(Object.entries(event.data).filter(([name]) => !MEASURED.has(name)))
      : event.data;
  return `${event.kind}\u0000${event.agent ?? ""}\u0000${event.to ?? ""}\u0000${stringifyExact(data)}`;
}

/**
 * The longest common subsequence of two lists of texts, as pairs of places (Myers' greedy way: quick where little
 * differs). `limit` bounds the differences looked for; beyond it the rest has no pairs.
 */
export function common(one, other, limit = 1_500) {
  const traces = [];
  const most = Math.min(limit, one.length + other.length);
  const width = 2 * most + 3;
  let reach = new Int32Array(width);
  const middle = most + 1;
  for (let edits = 0; edits <= most; edits += 1) {
    traces.push(reach.slice());
    for (let k = -edits; k <= edits; k += 2) {
      const isDown = k === -edits || (k !== edits && reach[middle + k - 1] < reach[middle + k + 1]);
      let x = isDown ? reach[middle + k + 1] : reach[middle + k - 1] + 1;
      let y = x - k;
      while (x < one.length && y < other.length && one[x] === other[y]) {
        x += 1;
        y += 1;
      }
      reach[middle + k] = x;
      if (x >= one.length && y >= other.length) return walkBack(traces, one.length, other.length, middle);
    }
  }
  return [];
}

function walkBack(traces, lengthOne, lengthOther, middle) {
  const pairs = [];
  let x = lengthOne;
  let y = lengthOther;
  for (let edits = traces.length - 1; edits >= 0; edits -= 1) {
    const reach = traces[edits];
    const k = x - y;
    const isDown = k === -edits || (k !== edits && reach[middle + k - 1] < reach[middle + k + 1]);
    const from = isDown ? k + 1 : k - 1;
    const beforeX = edits === 0 ? 0 : reach[middle + from];
    const beforeY = edits === 0 ? 0 : beforeX - from;
    while (x > beforeX && y > beforeY) pairs.push([(x -= 1), (y -= 1)]);
    x = beforeX;
    y = beforeY;
  }
  return pairs.reverse();
}

/** Rows of two lists of events: [{type, one, other}]. */
export function align(one, other) {
  const pairs = common(one.map(signature), other.map(signature));
  const rows = [];
  let x = 0;
  let y = 0;
  for (const [a, b] of [...pairs, [one.length, other.length]]) {
    rows.push(...between(one.slice(x, a), other.slice(y, b)));
    if (a < one.length) rows.push({ type: "same", one: one[a], other: other[b] });
    x = a + 1;
    y = b + 1;
  }
  return rows;
}

/** A stretch without common events: what has the same kind and agent is one row with changes. */
function between(one, other) {
  const alike = (event) => `${event.kind}\u0000${event.agent ?? ""}`;
  const pairs = common(one.map(alike), other.map(alike));
  const rows = [];
  let x = 0;
  let y = 0;
  for (const [a, b] of [...pairs, [one.length, other.length]]) {
    for (; x < a; x += 1) rows.push({ type: "one", one: one[x] });
    for (; y < b; y += 1) rows.push({ type: "other", other: other[y] });
    if (a < one.length) rows.push({ type: "changed", one: one[a], other: other[b] });
    x = a + 1;
    y = b + 1;
  }
  return rows;
}

/** Rows with long runs of "same" folded: {type: "fold", rows} where more than `most` lie between differences. */
export function folded(rows, { around = 1, most = 3 } = {}) {
  const found = [];
  for (let from = 0; from < rows.length;) {
    let to = from;
    while (to < rows.length && rows[to].type === "same") to += 1;
    if (to - from > most + 2 * around) {
      const begin = from === 0 ? from : from + around;
      const end = to === rows.length ? to : to - around;
      found.push(...rows.slice(from, begin), { type: "fold", rows: rows.slice(begin, end) }, ...rows.slice(end, to));
    } else found.push(...rows.slice(from, to));
    if (to < rows.length) found.push(rows[to]);
    from = to + 1;
  }
  return found;
}
