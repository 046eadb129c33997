// Events and messages in the order in which they are read: who did what to whom first, places and clocks last.
// Only the table is arranged so; JSON, files and charts keep the order of the answer.

const EVENT_ORDER = [
  "id",
  "time",
  "agent",
  "kind",
  "to",
  "data",
  "goal",
  "role",
  "cause",
  "turn",
  "state",
  "peer",
  "simulation",
  "seq",
  "wall",
];
const MESSAGE_ORDER = ["id", "time", "from", "to", "text", "kind", "data"];

/** The result with its columns arranged; the result itself where nothing is to arrange. */
export function arranged(result) {
  const names = result.columns.map(({ name }) => name);
  const isEvents = EVENT_ORDER.every((name) => names.includes(name));
  if (!isEvents) return result;
  const first = names.includes("text") && names.includes("from") ? MESSAGE_ORDER : EVENT_ORDER;
  const added = ["depth", "origin"].filter((name) => names.includes(name));
  const order = [...new Set([first[0], ...added, ...first, ...EVENT_ORDER, ...names])].filter((name) =>
    names.includes(name),
  );
  const places = order.map((name) => names.indexOf(name));
  return {
    columns: places.map((place) => result.columns[place]),
    get length() {
      return result.length;
    },
    raw: (row, place) => result.raw(row, places[place]),
  };
}
