// The head of a transcript: who talks, how much and when, what is left out, and the ways on from here.

import { element } from "../dom.js";
import { countText } from "../format.js";
import { glanceText } from "./moments.js";
import { group } from "./transcript.js";

const GROUPS = { calls: "Calls", goals: "Goals", others: "Other events" };
const AGENTS_NAMED = 6;

/** Which groups of items the URL leaves out. */
export const without = (params) => new Set((params.without ?? "").split(",").filter((name) => name in GROUPS));

/** `context` of the page; `onWithout(set)` when another group is left out. */
export class Head {
  constructor(host, { context, onWithout }) {
    this.context = context;
    this.onWithout = onWithout;
    this.box = element("header", { class: "transcript-head" });
    host.append(this.box);
  }

  /** Tell of a transcript; `events` it is made of, `total` messages or events, `simulations` by id. */
  show({ events, total, agents }, { params, transcript, simulations }) {
    if (events.length === 0) {
      this.box.replaceChildren();
      return;
    }
    const { simulation } = events[0];
    const [first, last] = [events[0].time, events.at(-1).time];
    const counted = params.conversation ? ["message", "messages"] : ["event", "events"];
    const facts = [
      this.#simulation(simulation, simulations),
      `${countText(total)} ${counted[total === 1 ? 0 : 1]}`,
      `${glanceText(first)} – ${glanceText(last)}`,
    ];
    const way = (title, view, where) => element("a", { class: "button", href: this.context.link(view, where) }, title);
    this.box.replaceChildren(
      element(
        "div",
        { class: "head-words" },
        this.#title(params, agents, simulation, transcript.state.people),
        element(
          "div",
          { class: "head-facts" },
          facts.map((fact) => element("span", {}, fact)),
        ),
      ),
      element("span", { class: "spring" }),
      element(
        "div",
        { class: "head-tools" },
        this.#toggles(params, transcript),
        way("Time line", "timeline", { simulation, from: first, to: last }),
        way("As query", "query", { q: asQuery(params, simulation) }),
      ),
    );
  }

  #simulation(id, simulations) {
    const one = simulations.get(id);
    const short = id.length > 20 ? `${id.slice(0, 8)}…` : id;
    const name = one?.name && one.name !== id ? `${one.name} ${short}` : short;
    const status = one?.status === "running" && element("span", { class: "status-running" }, " running");
    return element(
      "span",
      { title: id },
      name,
      one?.parent && element("span", { class: "faint" }, ` fork of ${one.parent}`),
      status,
    );
  }

  #title({ agent, of }, agents, simulation, people) {
    if (of === "all") return element("h1", {}, "Everything in this simulation");
    if (agent) return element("h1", {}, "All that ", people.name(agent), " did and got");
    const shown = agents.slice(0, AGENTS_NAMED).map((id) => {
      const href = this.context.link("conversation", { simulation, agent: id });
      return element(
        "a",
        { class: "head-agent", title: `all that ${id} did and got`, href },
        people.avatar(id, { small: true }),
        people.name(id),
      );
    });
    const rest = agents.length - shown.length;
    return element(
      "h1",
      {},
      shown,
      rest > 0 && element("span", { class: "faint", title: agents.join(", ") }, `and ${rest} more`),
    );
  }

  #toggles(params, transcript) {
    const counts = new Map();
    for (const item of transcript.all) counts.set(group(item), (counts.get(group(item)) ?? 0) + 1);
    const left = without(params);
    return Object.entries(GROUPS)
      .filter(([name]) => counts.has(name))
      .map(([name, title]) => {
        const toggle = (event) => {
          if (!left.delete(name)) left.add(name);
          event.currentTarget.setAttribute("aria-pressed", String(!left.has(name)));
          this.onWithout(left);
        };
        const count = element("span", { class: "toggle-count" }, countText(counts.get(name)));
        return element(
          "button",
          { class: "toggle", type: "button", "aria-pressed": String(!left.has(name)), onclick: toggle },
          title,
          count,
        );
      });
  }
}

/** The same as a query, for those who want to ask on. */
function asQuery({ conversation, agent, of }, simulation) {
  if (conversation) return `messages where conversation = ${JSON.stringify(conversation)}`;
  const start = `events where simulation = ${JSON.stringify(simulation)}`;
  return of === "all" ? start : `${start} and (agent = ${JSON.stringify(agent)} or to = ${JSON.stringify(agent)})`;
}
