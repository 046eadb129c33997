// The lanes: agents of one simulation in the order they are shown, and which of them are wanted.
// Only names and a few numbers of all agents are held (100,000 agents are some megabytes); what they did is loaded where one looks.

import { quoted } from "./rows.js";

export const CHUNK = 64;
// Above it a browser's scrolled height ends; who needs the others chooses among them.
export const LANES_MAX = 300_000;
const SORTS = {
  started: "",
  name: " | sort by id",
  role: " | sort by role, id",
  turns: " | sort by turns desc",
  length: " | sort by duration desc",
};
const WORD = /^[\p{L}\p{N}_.+-]+$/u;

/** The condition on agents that a filter means: a word is part of a name, anything else a condition of the language. */
export function condition(filter) {
  const parts = [];
  const typed = (filter.agents ?? "").trim();
  if (WORD.test(typed)) parts.push(`id contains ${quoted(typed)}`);
  else if (typed) parts.push(`(${typed})`);
  if (filter.role) parts.push(`role = ${quoted(filter.role)}`);
  if (filter.outcome) parts.push(`goal ${filter.outcome}`);
  return parts.join(" and ");
}

/** The query whose rows are the lanes. */
export function laneQuery(simulation, filter, ids) {
  const also = condition(filter);
  const only = ids ? " and id in $ids" : "";
  return `agents where simulation = ${quoted(simulation)}${only}${also ? ` and ${also}` : ""}${SORTS[filter.sort] ?? ""} | limit ${LANES_MAX} | select id, role`;
}

/** Agents in order, found by number or by name. */
export class Lanes {
  constructor(table) {
    const columns = ["id", "role"].map((name) => table.places.get(name));
    this.count = table.length;
    this.ids = new Array(table.length);
    this.roles = new Array(table.length);
    this.index = new Map();
    for (let lane = 0; lane < table.length; lane += 1) {
      const id = table.at(lane, columns[0]);
      this.ids[lane] = id;
      this.roles[lane] = table.at(lane, columns[1]);
      this.index.set(id, lane);
    }
  }

  /** Names of one chunk: what is loaded together. */
  chunk(number) {
    return this.ids.slice(number * CHUNK, (number + 1) * CHUNK);
  }

  /** Which lanes a joined `to` names, without those that are not shown. */
  receivers(to) {
    const whole = this.index.get(to);
    if (whole !== undefined) return [whole];
    if (!to.includes(", ")) return [];
    return to.split(", ").flatMap((id) => (this.index.has(id) ? [this.index.get(id)] : []));
  }
}
