// An event's payload for people: what is prose as prose, short values as small keys and values, the rest folded.

import { element } from "../dom.js";
import { numberText } from "../format.js";

/** Names of fields that are said rather than listed. */
const SAID = new Set(["text", "content", "message", "body", "speech", "answer"]);
/** What importers note down beside what was said: the details of an event have it. */
const NOTED = new Set(["turn_idx", "cost", "usage", "raw_data"]);
const LONG = 100; // letters from which a text is prose, whatever its name
const FIELDS_SHOWN = 8;

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isScalar = (value) => value === null || typeof value !== "object";

/** The payload in three parts: `said` [[name, text]], `fields` [[name, text, type]], and what is `folded` {name: value}. */
export function parts(data, { without = [] } = {}) {
  const said = [];
  const fields = [];
  const folded = {};
  if (!isObject(data)) {
    if (typeof data === "string" && data) said.push(["text", data]);
    else if (data !== null && data !== undefined) folded.data = data;
    return { said, fields, folded };
  }
  for (const [name, value] of Object.entries(data)) {
    if (without.includes(name)) continue;
    const short = shortText(value);
    if (NOTED.has(name)) continue;
    if (typeof value === "string" && (SAID.has(name) || value.length > LONG || value.includes("\n")))
      said.push([name, value]);
    else if (short !== undefined && fields.length < FIELDS_SHOWN)
      fields.push([name, short, isScalar(value) ? typeof value : "object"]);
    else folded[name] = value;
  }
  return { said, fields, folded };
}

/** A value that fits on a line: a scalar, a few in a list, or a few with names; undefined when it does not. */
export function shortText(value) {
  if (isScalar(value)) return scalarText(value);
  const values = Array.isArray(value) ? value.map((item) => ["", item]) : Object.entries(value);
  if (values.length === 0) return "none";
  if (values.length > 8 || !values.every(([, item]) => isScalar(item))) return undefined;
  const text = values
    .map(([name, item]) => (name ? `${name} ${scalarText(item)}` : scalarText(item)))
    .join(Array.isArray(value) ? ", " : " · ");
  return text.length <= LONG ? text : undefined;
}

function scalarText(value) {
  if (value === null || value === undefined) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" || typeof value === "bigint" ? numberText(value) : String(value);
}

/** Small keys and values, side by side. */
export function fieldList(fields) {
  if (fields.length === 0) return undefined;
  return element(
    "span",
    { class: "fields" },
    fields.map(([name, text, type]) =>
      element(
        "span",
        { class: `field-pair of-${type}` },
        element("span", { class: "field-name" }, name),
        " ",
        element("span", { class: "field-value" }, text),
      ),
    ),
  );
}

/** Messages as models are asked with: [{role, content}, …] anywhere in the arguments of a call. */
export function promptIn(value) {
  if (!Array.isArray(value)) return undefined;
  const isPrompt =
    value.length > 0 && value.every((item) => isObject(item) && typeof item.role === "string" && "content" in item);
  if (isPrompt) return value;
  for (const item of value) {
    const found = promptIn(item);
    if (found) return found;
  }
  return undefined;
}
