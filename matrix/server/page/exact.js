// JSON without loss: a whole number beyond 2^53 becomes a BigInt, every other value what JSON.parse makes of it.

const LONG_NUMBER = /\d{16}/;

const revive = (key, value, context) =>
  typeof value === "number" && !Number.isSafeInteger(value) && context !== undefined && /^-?\d+$/.test(context.source)
    ? BigInt(context.source)
    : value;

/** Parse JSON text; exact where JSON.parse would round. */
export function parseExact(text) {
  return LONG_NUMBER.test(text) ? JSON.parse(text, revive) : JSON.parse(text);
}

/** JSON text of a value that may hold BigInts: they are written bare, as the log has them, where the browser can. */
export function stringifyExact(value, indent) {
  const write = (key, item) => {
    if (typeof item !== "bigint") return item;
    return JSON.rawJSON ? JSON.rawJSON(String(item)) : String(item);
  };
  return JSON.stringify(value, write, indent) ?? "null";
}

/** A BigInt as a number where a number holds it exactly. */
export function narrow(big) {
  return big >= -9007199254740991n && big <= 9007199254740991n ? Number(big) : big;
}
