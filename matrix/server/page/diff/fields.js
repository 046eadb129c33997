// In which fields two events differ, value by value, and which words of two texts.

import { stringifyExact } from "../exact.js";
import { durationText } from "../format.js";
import { common } from "./align.js";

const LOOKED_AT = ["kind", "agent", "to", "time", "goal"];
const WORDS_MOST = 600;

/** [{path, one, other, isSame}] of every field that is somewhere; `undefined` where a side has it not. */
export function fieldChanges(one, other) {
  const found = [];
  for (const name of LOOKED_AT) {
    const [before, after] = [one?.[name] ?? undefined, other?.[name] ?? undefined];
    if (before !== undefined || after !== undefined) push(found, name, shown(name, before), shown(name, after));
  }
  walk(found, "data", one?.data ?? undefined, other?.data ?? undefined, 0);
  return found;
}

function walk(found, path, one, other, depth) {
  const areObjects = [one, other].every(
    (value) => value === undefined || (value !== null && typeof value === "object"),
  );
  const names = [...new Set([...Object.keys(one ?? {}), ...Object.keys(other ?? {})])];
  if (areObjects && depth < 6 && names.length > 0) {
    const isList = Array.isArray(one ?? other);
    for (const name of names)
      walk(found, isList ? `${path}[${name}]` : `${path}.${name}`, one?.[name], other?.[name], depth + 1);
  } else if (!(areObjects && names.length === 0)) push(found, path, text(one), text(other));
}

function push(found, path, one, other) {
  found.push({ path: path.replace(/^data\./, "."), one, other, isSame: one === other });
}

function shown(name, value) {
  return name === "time" && value !== undefined ? durationText(value) : text(value);
}

function text(value) {
  if (value === undefined) return undefined;
  return typeof value === "string" ? value : stringifyExact(value);
}

/** Two texts as pieces: {one: [[text, isOnlyHere]], other: […]}. Long texts differ as a whole. */
export function wordChanges(one, other) {
  const [before, after] = [pieces(one), pieces(other)];
  if (before.length + after.length > WORDS_MOST || before.length < 3 || after.length < 3)
    return { one: [[one, true]], other: [[other, true]] };
  const pairs = common(before, after);
  const shared = [new Set(pairs.map(([x]) => x)), new Set(pairs.map(([, y]) => y))];
  if (pairs.length * 3 < Math.max(before.length, after.length)) return { one: [[one, true]], other: [[other, true]] };
  return { one: grouped(before, shared[0]), other: grouped(after, shared[1]) };
}

const pieces = (text) => text.match(/\s+|[\p{L}\p{N}_]+|./gsu) ?? [];

function grouped(words, shared) {
  const found = [];
  words.forEach((word, place) => {
    const isOnlyHere = !shared.has(place);
    if (found.length > 0 && found.at(-1)[1] === isOnlyHere) found.at(-1)[0] += word;
    else found.push([word, isOnlyHere]);
  });
  return found;
}
