// What the time line knows of one simulation: its facts at once, everything else tile by tile, where one looks.
//
// Each answer is bounded: so many rows, and where there are more, the longest goals, or counts for each piece of time instead of events.

import { Lanes, condition, laneQuery } from "./lanes.js";
import { at, quoted, seqOf } from "./rows.js";
import { Queue, Tiles } from "./tiles.js";

const EVENTS_MAX = 2000;
const GOALS_MAX = 4000;
const STATES_MAX = 500;
const QUIET_MAX = 120;
const BUCKETS = 384;
const SEEN_BUCKETS = 480;
const EVENT = "seq, time, agent, kind, to, cause";
const ENDS = "goal.succeeded, goal.failed, goal.cancelled";

export class Source {
  constructor(asker, simulation, { changed, failed }) {
    this.asker = asker;
    this.simulation = simulation;
    this.here = `simulation = ${quoted(simulation)}`;
    this.lanes = null;
    this.kinds = [];
    this.roles = [];
    this.events = 0;
    this.agents = 0;
    this.deepest = 1;
    this.queue = new Queue({ changed, failed });
  }

  /** The simulation's row: with it lanes can be shown. Null when there is none. */
  async open() {
    this.facts = await this.asker.one(
      `simulations where id = ${quoted(this.simulation)} | select id, name, status, duration, parent, .at`,
    );
    if (!this.facts) return null;
    this.whole = Math.max(1, this.facts.duration ?? 0);
    this.#makeTiles();
    return this.facts;
  }

  /** How many events of which kind it has, and how many agents of which role. One after the other, so that lanes need not wait behind them. */
  async count() {
    this.kinds = await this.asker.rows(`events where ${this.here} | count by kind | sort count desc`);
    this.events = this.kinds.reduce((sum, kind) => sum + kind.count, 0);
    this.roles = await this.asker.rows(`agents where ${this.here} | count by role`);
    this.agents = this.roles.reduce((sum, role) => sum + role.count, 0);
  }

  #makeTiles() {
    const { whole, queue } = this;
    this.goals = new Tiles({ name: "goals", whole, queue, load: (...piece) => this.#goals(...piece) });
    this.acts = new Tiles({ name: "acts", whole, queue, load: (...piece) => this.#acts(...piece) });
    this.got = new Tiles({ name: "got", whole, queue, load: (...piece) => this.#got(...piece) });
    this.states = new Tiles({ name: "states", whole, queue, load: (...piece) => this.#states(...piece) });
  }

  /** The agents that a filter leaves, in its order. What was loaded for other lanes is forgotten. */
  async choose(filter, ids) {
    const table = await this.asker.table(laneQuery(this.simulation, filter, ids), ids ? { ids } : {});
    this.lanes = new Lanes(table);
    this.filter = filter;
    for (const tiles of [this.goals, this.acts, this.got]) tiles.kept.clear();
    return this.lanes;
  }

  /** The whole run at a glance: events for each piece of time, and how many goals ended how. */
  async overview() {
    const step = Math.max(1, Math.ceil(this.whole / SEEN_BUCKETS));
    const events = await this.asker.rows(`events where ${this.here} | count per ${step}us`);
    const goals = await this.asker.rows(`events ${ENDS} where ${this.here} | count by kind per ${step}us`);
    return { step, events, goals };
  }

  async #goals(chunk, from, to, signal) {
    const ids = this.lanes.chunk(chunk);
    const text =
      `goals where ${this.here} and agent in $ids and start <= ${at(to)} and (end missing or end >= ${at(from)})` +
      ` | sort by duration desc | limit ${GOALS_MAX + 1} | select id, name, agent, status, start, end, parent, reason`;
    const goals = await this.asker.rows(text, { ids }, signal);
    const whole = goals.length <= GOALS_MAX;
    return { whole, goals: stacked(goals.slice(0, GOALS_MAX), this.lanes) };
  }

  async #acts(chunk, from, to, signal) {
    const ids = this.lanes.chunk(chunk);
    const where = `events where ${this.here} and agent in $ids and time in ${at(from)}..${at(to)}`;
    const expected =
      (this.events * ((to - from) / this.whole) * ids.length) / Math.max(1, this.agents, this.lanes.count);
    if (expected > 2 * EVENTS_MAX) return this.#busy(where, ids, from, to, signal);
    const events = await this.asker.rows(`${where} | limit ${EVENTS_MAX + 1} | select ${EVENT}`, { ids }, signal);
    if (events.length <= EVENTS_MAX) return { whole: true, events: placed(events, this.lanes) };
    return this.#busy(where, ids, from, to, signal);
  }

  /** More than can be drawn one by one: of busy agents counts, of the others their events. */
  async #busy(where, ids, from, to, signal) {
    const step = Math.max(1, Math.ceil((to - from) / BUCKETS));
    const all = await this.asker.rows(`${where} | count by agent per ${step}us`, { ids }, signal);
    const sums = new Map();
    for (const { agent, count } of all) sums.set(agent, (sums.get(agent) ?? 0) + count);
    const room = Math.max(QUIET_MAX, EVENTS_MAX / ids.length);
    const total = [...sums.values()].reduce((sum, count) => sum + count, 0);
    const quiet = new Set(
      [...sums].filter(([, count]) => total <= EVENTS_MAX || count <= room).map(([agent]) => agent),
    );
    const few = [...quiet];
    const events = few.length
      ? await this.asker.rows(`${where} | limit ${ids.length * QUIET_MAX} | select ${EVENT}`, { ids: few }, signal)
      : [];
    const counts = all.filter(({ agent }) => !quiet.has(agent));
    for (const row of counts) row.lane = this.lanes.index.get(row.agent);
    return { whole: counts.length === 0, step, counts, events: placed(events, this.lanes) };
  }

  /** Messages to these lanes from agents of other lanes; those among themselves are known already. */
  async #got(chunk, from, to, signal) {
    const ids = this.lanes.chunk(chunk);
    const text =
      `messages where ${this.here} and to in $ids and time in ${at(from)}..${at(to)} and not from in $ids` +
      ` | limit ${EVENTS_MAX + 1} | select ${EVENT}`;
    const events = await this.asker.rows(text, { ids }, signal);
    const whole = events.length <= EVENTS_MAX;
    return { whole, events: whole ? placed(events, this.lanes) : [] };
  }

  async #states(_, from, to, signal) {
    const where = `events state.changed where ${this.here} and agent missing and`;
    const inside = await this.asker.rows(
      `${where} time in ${at(from)}..${at(to)} | limit ${STATES_MAX + 1} | select seq, time, data`,
      {},
      signal,
    );
    const before =
      from > 0
        ? await this.asker.one(
            `${where} time < ${at(from)} | sort by seq desc | limit 1 | select seq, time, data`,
            {},
            signal,
          )
        : null;
    if (inside.length <= STATES_MAX) return { whole: true, states: before ? [before, ...inside] : inside };
    const step = Math.max(1, Math.ceil((to - from) / BUCKETS));
    return {
      whole: false,
      step,
      counts: await this.asker.rows(`${where} time in ${at(from)}..${at(to)} | count per ${step}us`, {}, signal),
    };
  }

  /** The number of the last event up to a time; null before the first. */
  async lastAt(time, signal) {
    return (
      (await this.asker.one(`events where ${this.here} and time <= ${at(time)} | max(seq) as seq`, {}, signal))?.seq ??
      null
    );
  }

  /** The simulation's state at an event, and the one before it. */
  async stateAt(seq, signal) {
    const text = `events state.changed where ${this.here} and agent missing and seq <= ${seq} | sort by seq desc | limit 2 | select seq, time, data`;
    return this.asker.rows(text, {}, signal);
  }

  /** The events around one, as many before it as behind it. */
  async around(seq, count, signal) {
    const text = `events where ${this.here} and seq in ${Math.max(1, seq - count)}..${seq + count} | select seq, time, agent, kind, to, data`;
    return this.asker.rows(text, {}, signal);
  }

  /** The next event, or the one before, among those of the lanes that are shown or of one agent. */
  async step(seq, direction, agent, signal) {
    const params = agent === null ? {} : { agent };
    const whose = agent !== null ? " and (agent = $agent or to = $agent)" : this.#whose();
    const order =
      direction > 0 ? `seq > ${seq}${whose} | limit 1` : `seq < ${seq}${whose} | sort by seq desc | limit 1`;
    return this.asker.one(`events where ${this.here} and ${order} | select seq, time, agent, kind, to`, params, signal);
  }

  #whose() {
    const also = condition(this.filter ?? {});
    return also ? ` and any agent (${also})` : "";
  }

  /** The way from the first cause to an event, and the event. */
  async pathTo(id) {
    const columns = "select seq, time, agent, kind, to";
    const [before, event] = await Promise.all([
      this.asker.rows(`events where id = $id | causes | ${columns}`, { id }),
      this.asker.rows(`events where id = $id | ${columns}`, { id }),
    ]);
    return [...before, ...event];
  }

  /** The run went on: what reached up to its end may have changed. */
  grow(facts) {
    const before = this.whole;
    Object.assign(this.facts, facts);
    this.whole = Math.max(1, facts.duration ?? 0);
    for (const tiles of [this.goals, this.acts, this.got, this.states]) {
      tiles.whole = this.whole;
      tiles.kept.clear();
    }
    return this.whole - before;
  }

  /** What could not be loaded may be asked for again. */
  retry() {
    for (const tiles of [this.goals, this.acts, this.got, this.states]) tiles.retry();
  }

  close() {
    this.queue.close();
  }
}

/** Events with numbers instead of names: their lane, those of their receivers, the event they come from. */
function placed(events, lanes) {
  for (const event of events) {
    event.lane = lanes.index.get(event.agent) ?? -1;
    event.cause = seqOf(event.cause);
    event.receivers = event.to === null ? null : lanes.receivers(event.to);
  }
  return events;
}

/** Each goal of an agent in a row below the goals around it: those that it is part of, and those that run at the same time. */
function stacked(goals, lanes) {
  const byLane = Map.groupBy(goals, (goal) => lanes.index.get(goal.agent));
  for (const [lane, own] of byLane) {
    own.sort((a, b) => a.start - b.start || (b.end ?? Infinity) - (a.end ?? Infinity) || seqOf(a.id) - seqOf(b.id));
    const rows = new Map();
    const free = [];
    for (const goal of own) {
      let row = goal.parent !== null && rows.has(goal.parent) ? rows.get(goal.parent) + 1 : 0;
      while (free[row] !== undefined && free[row] > goal.start) row += 1;
      free[row] = Math.max(goal.end ?? Infinity, goal.start);
      rows.set(goal.id, row);
      goal.row = row;
      goal.lane = lane;
    }
    for (const goal of own) goal.rows = free.length;
  }
  return goals;
}
