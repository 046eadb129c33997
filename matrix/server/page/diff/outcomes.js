// How two simulations came out, value by value, as a small table.

import { element } from "../dom.js";
import { stringifyExact } from "../exact.js";
import { countText, durationText } from "../format.js";

const STATUSES = ["succeeded", "failed", "cancelled", "running"];
const PLAIN = ["name", "seed", "status", "reason", "events", "duration", "turns", "agents"];

/** [{group, what, one, other, isSame, look}] of two sides as the request `diff` tells them. */
export function outcomeRows(one, other) {
  const rows = [];
  const add = (group, what, before, after, look) =>
    rows.push({
      group,
      what,
      one: before,
      other: after,
      isSame: stringifyExact(before ?? null) === stringifyExact(after ?? null),
      look,
    });
  for (const name of PLAIN) add("", name, one[name], other[name], name);
  for (const name of names(one.given, other.given)) add("begun with", name, one.given[name], other.given[name]);
  const goals = [goalCounts(one), goalCounts(other)];
  for (const name of sortedGoals(goals))
    add("goals", name, goals[0].get(name) ?? 0, goals[1].get(name) ?? 0, name.slice(name.lastIndexOf(" ") + 1));
  for (const name of names(one.kinds, other.kinds))
    if (name !== "simulation.forked") add("events", name, one.kinds[name] ?? 0, other.kinds[name] ?? 0);
  for (const name of names(one.state, other.state)) add("state in the end", name, one.state[name], other.state[name]);
  return rows;
}

const names = (one, other) => [...new Set([...Object.keys(one ?? {}), ...Object.keys(other ?? {})])];

function goalCounts({ goals }) {
  return new Map(goals.map(({ role, name, status, count }) => [[role, name, status].filter(Boolean).join(" "), count]));
}

function sortedGoals(goals) {
  const place = (name) => {
    const cut = name.lastIndexOf(" ");
    return [name.slice(0, cut), STATUSES.indexOf(name.slice(cut + 1))];
  };
  return [...new Set(goals.flatMap((counts) => [...counts.keys()]))].sort((a, b) => {
    const [[first, one], [second, other]] = [place(a), place(b)];
    return first === second ? one - other : first < second ? -1 : 1;
  });
}

/** The table; `isWhole` shows also what is the same. */
export function outcomeTable(one, other, { isWhole }) {
  const rows = outcomeRows(one, other).filter((row) => isWhole || !row.isSame);
  if (rows.length === 0)
    return element(
      "p",
      { class: "muted diff-alike" },
      "They were begun alike. Outcomes, goals and counts are the same.",
    );
  const made = [];
  let group = "";
  for (const row of rows) {
    if (row.group !== group)
      made.push(
        element("tr", { class: "outcome-group" }, element("th", { colspan: "3", scope: "colgroup" }, row.group)),
      );
    ({ group } = row);
    made.push(
      element(
        "tr",
        { class: row.isSame ? "is-same" : "differs" },
        element("th", { scope: "row" }, row.what),
        value(row.one, row),
        value(row.other, row),
      ),
    );
  }
  return element(
    "table",
    { class: "outcomes" },
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        element("th", {}, ""),
        element("th", { class: "side-one" }, one.id),
        element("th", { class: "side-other" }, other.id),
      ),
    ),
    element("tbody", {}, made),
  );
}

function value(raw, { look }) {
  const isStatus = look === "status" || STATUSES.includes(look);
  const status = look === "status" ? raw : look;
  return element(
    "td",
    {
      class: isStatus && raw ? `status-${status}` : raw === undefined || raw === null || raw === "" ? "faint" : "",
      title: typeof raw === "string" ? raw : undefined,
    },
    valueText(raw, look),
  );
}

function valueText(raw, look) {
  if (raw === undefined || raw === null || raw === "") return "–";
  if (look === "duration") return durationText(raw);
  if (look === "seed") return String(raw);
  if (typeof raw === "number") return Number.isInteger(raw) ? countText(raw) : String(raw);
  return typeof raw === "string" ? raw : stringifyExact(raw);
}
