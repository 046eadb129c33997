// The tree around one event: the way that led to it, and what it led to, loaded as it is unfolded.
//
// Every event has at most one cause, so the way is a line; it is bounded, and so is each list of effects: the rest is asked for. A node knows how
// many effects it has before it has them.

import { quoted, simulationOf } from "../timeline/rows.js";

const COLUMNS = "id, seq, time, agent, kind, to, goal, cause, data";
const WAY_MAX = 200;
const WHOLE_MAX = 400;
export const PAGE = 50;
const FAILURES = "goal.failed, agent.failed, call.failed, tool.failed, model.failed";

/** An event in the tree. `total` is how many effects it has, `children` those that are loaded. */
class Node {
  constructor(event, parent) {
    this.event = event;
    this.parent = parent;
    this.children = [];
    this.total = 0;
    this.isOpen = false;
    this.isOnWay = false;
  }

  get rest() {
    return this.total - this.children.length;
  }
}

export class Forest {
  constructor(asker, id) {
    this.asker = asker;
    this.id = id;
    this.here = `simulation = ${quoted(simulationOf(id))}`;
    this.nodes = new Map();
  }

  /** The way and the nearest effects. False when there is no such event. */
  async open() {
    const params = { id: this.id };
    const [event, before, after] = await Promise.all([
      this.asker.one(`events where id = $id | select ${COLUMNS}`, params),
      this.asker.rows(`events where id = $id | causes within ${WAY_MAX} steps | select ${COLUMNS}`, params),
      this.asker.rows(`events where id = $id | effects | limit ${WHOLE_MAX + 1} | select ${COLUMNS}`, params),
    ]);
    if (!event) return false;
    this.isCutOff = before.length === WAY_MAX && before[0].cause !== null;
    this.way = this.#line([...before, event]);
    this.root = this.way[0];
    this.focus = this.way[this.way.length - 1];
    await this.#count(this.way);
    if (after.length <= WHOLE_MAX) this.#whole(after);
    else await this.more(this.focus);
    this.focus.isOpen = true;
    return true;
  }

  /** How many effects there are in all, and which of them are failures. Slower than the rest, so asked for by itself. */
  async effects() {
    const params = { id: this.id };
    const [counted, failures] = await Promise.all([
      this.asker.one("events where id = $id | effects | count", params),
      this.asker.rows(
        `events ${FAILURES} where ${this.here} and caused by event ${quoted(this.id)} | limit ${PAGE + 1} | select ${COLUMNS}`,
      ),
    ]);
    return { count: counted?.count ?? 0, failures };
  }

  #line(events) {
    let parent = null;
    return events.map((event) => {
      const node = this.#node(event, parent);
      node.isOnWay = true;
      if (parent) parent.isOpen = true;
      parent = node;
      return node;
    });
  }

  #node(event, parent) {
    const node = new Node(event, parent);
    this.nodes.set(event.id, node);
    if (parent) parent.children.push(node);
    return node;
  }

  /** All effects are here: the whole tree below the event, without another question. */
  #whole(events) {
    for (const event of events) {
      const parent = this.nodes.get(event.cause);
      if (parent) this.#node(event, parent);
    }
    const below = events.map(({ id }) => this.nodes.get(id)).filter(Boolean);
    for (const node of [this.focus, ...below]) node.total = node.children.length;
    let shown = 0;
    for (const node of [this.focus, ...below]) {
      shown += node.children.length;
      node.isOpen = shown <= PAGE;
    }
  }

  async #count(nodes) {
    const ids = nodes.map(({ event }) => event.id);
    if (ids.length === 0) return;
    const counts = await this.asker.rows(`events where ${this.here} and cause in $ids | count by cause`, { ids });
    for (const { cause, count } of counts) this.nodes.get(cause).total = count;
  }

  /** The next effects of an event, and how many each of them has. */
  async more(node) {
    const last = node.children
      .filter((child) => !child.isOnWay)
      .reduce((most, child) => Math.max(most, child.event.seq), 0);
    const text = `events where ${this.here} and cause = $id and seq > ${last} | limit ${PAGE + 1} | select ${COLUMNS}`;
    const found = await this.asker.rows(text, { id: node.event.id });
    const fresh = found
      .filter(({ id }) => !this.nodes.has(id))
      .slice(0, PAGE)
      .map((event) => this.#node(event, node));
    node.children.sort((a, b) => Number(a.isOnWay) - Number(b.isOnWay) || a.event.seq - b.event.seq);
    await this.#count(fresh);
    return fresh;
  }

  /** Open a node; its first effects are asked for when there are none yet. */
  async unfold(node) {
    node.isOpen = true;
    if (node.children.length === 0 && node.total > 0) await this.more(node);
  }

  /** Nodes and what is left of them, from top to bottom as they are seen: `{node, level, indent}` or `{more: node, …}`. */
  rows() {
    const found = [];
    this.#walk(this.root, 1, 0, found);
    return found;
  }

  /** Only where a way forks does it go further in: an effect that alone goes on stands right below its cause, after those that led to nothing. */
  #walk(node, level, indent, found, isBeside = false) {
    const siblings = node.parent?.children ?? [node];
    found.push({
      node,
      level,
      indent,
      place: siblings.indexOf(node) + 1,
      siblings: node.parent?.total ?? 1,
      goesOn: node.goesOn,
      isBeside,
    });
    if (!node.isOpen) return;
    const [side, next] = [
      node.children.filter((child) => !child.isOnWay),
      node.children.find((child) => child.isOnWay),
    ];
    if (!next || node.showsOthers) {
      const going = side.filter((child) => child.total > 0);
      const only = going.length === 1 && node.rest <= 0 && node !== this.focus && !node.isOnWay ? going[0] : null;
      for (const child of side) child.goesOn = child === only;
      for (const child of side) if (child !== only) this.#walk(child, level + 1, indent + 1, found, only !== null);
      if (node.rest > 0) found.push({ more: node, level: level + 1, indent: indent + 1 });
      if (only) this.#walk(only, level + 1, indent, found);
    }
    if (next) this.#walk(next, level + 1, indent, found);
  }
}
