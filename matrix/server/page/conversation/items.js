// Events to what a transcript shows: messages, calls with their answers, goals, states, and the rest.
//
// What always holds: every event that is shown is in exactly one item; items are in the order of their first event.

import { receivers } from "./people.js";

const CALLED = /^(call|tool|model)\.called$/;
const ANSWERED = /^(call|tool|model)\.(completed|failed)$/;

const GATHERED = new Set(["goal", "mark", "event"]);
const RUN = 4; // so many of a kind in a row are shown as one line

export const isGoal = (kind) => kind.startsWith("goal.");
export const isCall = (kind) => CALLED.test(kind) || ANSWERED.test(kind);
export const seqOf = (id) => Number(id.slice(id.lastIndexOf(":") + 1));

/** Sort and join events: [{type, id, event, …}]. Types: message, call, goal, state, mark (a simulation's or an agent's), event, run. */
export function itemsOf(events) {
  const items = [];
  const calls = new Map();
  for (const event of events) {
    const { kind } = event;
    if (ANSWERED.test(kind)) {
      const call = calls.get(callKey(event)) ?? calls.get(event.cause);
      if (call !== undefined && call.ended === undefined) {
        call.ended = event;
        continue;
      }
    }
    const item = { type: typeOf(event), id: event.id, event };
    if (item.type === "call" && CALLED.test(kind)) {
      if (event.data?.call_id !== undefined) calls.set(callKey(event), item);
      calls.set(event.id, item);
    }
    items.push(item);
  }
  return joined(gathered(items));
}

/** Runs of one kind of marks or goals become one item {type: "run", items}, which unfolds. */
function gathered(items) {
  const found = [];
  for (let from = 0; from < items.length;) {
    let to = from + 1;
    if (GATHERED.has(items[from].type))
      while (to < items.length && items[to].event.kind === items[from].event.kind) to += 1;
    if (to - from < RUN) found.push(...items.slice(from, to));
    else found.push({ type: "run", id: items[from].id, event: items[from].event, items: items.slice(from, to) });
    from = to;
  }
  return found;
}

const callKey = (event) => `${event.agent} ${event.data?.call_id}`;

function typeOf(event) {
  const { kind } = event;
  if (isCall(kind)) return "call";
  if (receivers(event.to).length > 0) return "message";
  if (isGoal(kind)) return "goal";
  if (kind === "state.changed") return "state";
  return kind.startsWith("simulation.") || kind.startsWith("agent.") ? "mark" : "event";
}

/** Mark messages that go on what the one before began: same sender, same receivers, nothing in between. */
function joined(items) {
  let before;
  for (const item of items) {
    const isMessage = item.type === "message";
    item.goesOn =
      isMessage &&
      before?.type === "message" &&
      before.event.agent === item.event.agent &&
      String(before.event.to) === String(item.event.to);
    before = item;
  }
  return items;
}

/** What became of a call: {status: "good" | "bad" | "running", took (in virtual microseconds), ms, error}. */
export function outcome(item) {
  const { event, ended } = item;
  const last = ended ?? (CALLED.test(event.kind) ? undefined : event);
  if (last === undefined) return { status: "running" };
  const isBad = last.kind.endsWith(".failed");
  const ms = typeof last.data?.ms === "number" ? last.data.ms : undefined;
  return {
    status: isBad ? "bad" : "good",
    took: last === event ? undefined : last.time - event.time,
    ms,
    error: last.data?.error,
  };
}

/** What a call was of: the name of the tool, the model or the function. */
export const callName = ({ data, kind }) =>
  data?.tool ?? data?.model ?? data?.function ?? data?.name ?? kind.split(".")[0];

/**
 * Which of the agents' own events belong to a conversation: what a message led to without another conversation between,
 * what led to a message, and the goals under which its messages were sent.
 */
export function belonging(messages, others, goals) {
  const shown = new Set(messages.map((message) => message.id));
  const wanted = new Set(messages.map((message) => message.cause).filter(Boolean));
  for (const event of [...others].reverse()) if (wanted.has(event.id) && event.cause) wanted.add(event.cause);
  const chosen = [];
  for (const event of others) {
    const isOurs = isGoal(event.kind) ? goals.has(event.id) : shown.has(event.cause) || wanted.has(event.id);
    if (!isOurs) continue;
    shown.add(event.id);
    chosen.push(event);
  }
  return chosen;
}

/** Several lists of events as one in order, each event once. */
export function merged(...lists) {
  const byId = new Map();
  for (const list of lists) for (const event of list) byId.set(event.id, event);
  return [...byId.values()].sort((a, b) => a.seq - b.seq);
}
