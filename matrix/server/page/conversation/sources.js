// What a transcript is made of: the queries that fetch a conversation, all an agent did and got, or a whole simulation.

import { belonging, merged } from "./items.js";

const EVENTS_AT_ONCE = 20_000;
const GOALS_ASKED = 500;
const AFTER = 2_000; // events behind the last message among which its calls and goals are looked for
const OWN = "simulation = $simulation and seq >= $from and seq <= $to";

/** All rows of a query, as objects. */
async function rows(connection, text, params, signal) {
  const result = await connection.query(text, { params, signal });
  return result.rows();
}

/**
 * One conversation: {events, total, agents}; with what its agents did between the messages. `known` is what the list
 * says of it, {agents, start, end}: with that it is found without reading the whole simulation.
 */
export async function conversation(connection, { simulation, conversation: id, known }, signal) {
  const messages = await rows(
    connection,
    `messages where ${among(known)}conversation = $id | select *, goal.id as goal_id`,
    { id, simulation, agents: known?.agents ?? [] },
    signal,
  );
  if (messages.length === 0) return { events: [], total: 0 };
  const agents = agentsOf(messages);
  const from = Math.min(messages[0].seq, seqOfCause(messages[0]));
  const span = { simulation: simulation || messages[0].simulation, from, to: messages.at(-1).seq + AFTER };
  const goals = [...new Set(messages.map((message) => message.goal_id).filter(Boolean))].slice(0, GOALS_ASKED);
  const [others, ofGoals] = await Promise.all([
    rows(
      connection,
      `events where ${OWN} and agent in $agents and to missing | limit ${EVENTS_AT_ONCE}`,
      { ...span, agents },
      signal,
    ),
    goals.length === 0
      ? []
      : rows(
          connection,
          "events goal.* where simulation = $simulation and goal.id in $goals",
          { simulation: span.simulation, goals },
          signal,
        ),
  ]);
  const own = belonging(
    messages,
    others.filter((event) => !event.kind.startsWith("agent.")),
    new Set(),
  );
  return { events: merged(messages, own, ofGoals), total: messages.length, agents };
}

function among(known) {
  if (known === undefined) return "";
  const until = known.end === null ? "" : `and time <= ${known.end}us `;
  return `simulation = $simulation and agent in $agents and time >= ${known.start}us ${until}and `;
}

function agentsOf(messages) {
  const agents = new Set();
  for (const { from, to } of messages) for (const id of [from, ...String(to ?? "").split(", ")]) if (id) agents.add(id);
  return [...agents];
}

function seqOfCause({ cause, seq }) {
  return cause ? Number(cause.slice(cause.lastIndexOf(":") + 1)) : seq;
}

/** Everything in a simulation, some thousands of events at a time: `from` is the seq to begin at. */
export async function whole(connection, { simulation, from = 0 }, signal) {
  const text = `events where simulation = $simulation and seq >= $from | limit ${EVENTS_AT_ONCE}`;
  const events = await rows(connection, text, { simulation, from }, signal);
  return { events, total: events.length, next: events.length === EVENTS_AT_ONCE ? events.at(-1).seq + 1 : undefined };
}

/** What one agent did and got. */
export async function ofAgent(connection, { simulation, agent, from = 0 }, signal) {
  const text = `events where simulation = $simulation and (agent = $agent or to = $agent) and seq >= $from | limit ${EVENTS_AT_ONCE}`;
  const events = await rows(connection, text, { simulation, agent, from }, signal);
  return { events, total: events.length, next: events.length === EVENTS_AT_ONCE ? events.at(-1).seq + 1 : undefined };
}

const CONVERSATIONS = 200_000;

/** The conversations to choose from: those of a simulation, of the whole store, or that a query's rows lead to. */
export async function conversations(connection, { simulation, query, found }, signal) {
  if (query) return connection.query(await asConversations(connection, query, signal), { signal });
  if (found) {
    const where = simulation ? "simulation = $simulation and text contains $found" : "text contains $found";
    return connection.query(`messages where ${where} | conversations | limit ${CONVERSATIONS}`, {
      params: simulation ? { simulation, found } : { found },
      signal,
    });
  }
  if (simulation)
    return connection.query(`conversations where simulation = $simulation | limit ${CONVERSATIONS}`, {
      params: { simulation },
      signal,
    });
  return connection.query(`conversations | limit ${CONVERSATIONS}`, { signal });
}

/** A query whose rows are conversations: the given one, or it and the stage that leads to them. */
async function asConversations(connection, query, signal) {
  const text = query
    .trim()
    .replace(/\|\s*as\s+(chat|table|tree|timeline)\s*$/, "")
    .trim();
  const { columns } = await connection.check(text, { signal });
  const names = columns.map((column) => column.name);
  const isThem = names.includes("agents") && names.includes("messages") && names.includes("id");
  return isThem || columns.length === 0 ? text : `${text} | conversations`;
}

/** The simulations of the store, newest first. */
export async function simulations(connection, signal) {
  return rows(
    connection,
    "simulations | select id, name, status, seed, start, parent, .at as forked_at | sort start desc | limit 5000",
    undefined,
    signal,
  );
}

/** How the goals of each simulation ended: id -> {succeeded, failed, cancelled, running}. */
export async function outcomes(connection, signal) {
  const found = new Map();
  for (const { simulation, status, count } of await rows(
    connection,
    "goals | count by simulation, status | limit 20000",
    undefined,
    signal,
  )) {
    if (!found.has(simulation)) found.set(simulation, {});
    found.get(simulation)[status] = count;
  }
  return found;
}
