// Why something happened: the way of causes that led to an event, and what the event led to. It begins with an event, or with the goals that failed.

import { Branches } from "./causes/branches.js";
import { Failures } from "./causes/failures.js";
import { Forest } from "./causes/forest.js";
import { element } from "./dom.js";
import { countText, durationText } from "./format.js";
import { Asker, isEnded, quoted, simulationOf } from "./timeline/rows.js";

const SIMULATIONS_MAX = 1000;
const GOAL_OF = "events where id = $id | select goal.name as name, goal.reason as reason, goal.duration as duration";
const FAILURES_SHOWN = 8;

export class CausesView {
  constructor(host, context) {
    this.host = host;
    this.context = context;
    this.asker = new Asker(context.connection);
    this.params = {};
    this.simulation = element("select", {
      class: "field",
      "aria-label": "Simulation",
      onchange: () => this.#go({ simulation: this.simulation.value }),
    });
    this.id = element("input", {
      class: "field mono",
      type: "search",
      spellcheck: "false",
      "aria-label": "Id of an event",
      placeholder: "Event, such as 1-1:42",
    });
    this.head = element("header", { class: "causes-head" });
    this.links = element("div", { class: "causes-links" });
    this.led = element("div", { class: "causes-led" });
    this.tree = element("div", { class: "causes-tree", role: "tree", "aria-label": "Causes and effects" });
    this.side = element("aside", { class: "causes-side", "aria-label": "Goals that failed" });
    this.wait = element("div", { class: "loading", hidden: true });
    const form = element(
      "form",
      { class: "causes-form", onsubmit: (event) => this.#typed(event) },
      this.simulation,
      this.id,
    );
    this.side.append(form);
    host.append(this.side, element("div", { class: "causes-main" }, this.head, this.wait, this.led, this.tree));
    const failed = (error) => this.#failed(error);
    this.branches = new Branches(this.tree, {
      chosen: (event) => context.openEvent(event.id),
      centred: (id) => this.#go({ ...this.params, id }),
      failed,
    });
    this.failures = new Failures(this.side, {
      asker: this.asker,
      failed,
      chosen: (id, goal) => this.#go({ ...this.params, id, goal }),
      grouped: (group) => this.#go({ ...this.params, group }),
    });
    context.keys?.add("Causes", [
      { keys: "→ ←", label: "unfold, fold" },
      { keys: "Enter", label: "details of the event" },
      { keys: "c", label: "make it the middle of the tree" },
    ]);
  }

  /** #view=causes&id=EVENT, or &simulation=…&group=… to begin with what failed. */
  async show(params) {
    this.params = { ...params };
    const mine = this.params;
    this.id.value = params.id ?? ""; // before anything is waited for: somebody may type by then
    const known = await this.#simulations();
    if (mine !== this.params) return undefined;
    const simulation = params.id ? simulationOf(params.id) : params.simulation || known[0]?.id;
    if (!simulation)
      return this.#empty("There is no simulation in this store", "Run a program into it, and ask again.");
    this.params.simulation = simulation;
    this.simulation.value = simulation;
    this.failures.mark(params.goal);
    const left = this.failures.show(simulation, params.group ?? "").catch((error) => this.#failed(error));
    if (params.id) await this.#event(params.id);
    else this.#empty("What happened, and why?", "Choose a goal that failed, or type the id of an event.");
    return left;
  }

  async #simulations() {
    if (!this.known) {
      this.known = await this.asker.rows(`simulations | limit ${SIMULATIONS_MAX} | select id, name`);
      this.simulation.replaceChildren(
        ...this.known.map(({ id, name }) =>
          element("option", { value: id }, `${id.length > 20 ? `${id.slice(0, 8)}…` : id} ${name ?? ""}`),
        ),
      );
    }
    return this.known;
  }

  async #event(id) {
    if (this.forest?.id === id) return;
    const forest = new Forest(this.asker, id);
    this.forest = forest;
    this.wait.hidden = false;
    try {
      const isThere = await forest.open();
      if (forest !== this.forest) return;
      if (!isThere) {
        this.#empty(`There is no event ${id}`, "The number behind the colon is its place in the simulation.");
        return;
      }
      await this.#title(forest);
      this.branches.show(forest);
      this.wait.hidden = true;
      await this.#effects(forest);
    } catch (error) {
      this.#failed(error);
    } finally {
      if (forest === this.forest) this.wait.hidden = true;
    }
  }

  /** Which question is answered here, and the ways on. */
  async #title(forest) {
    const { event } = forest.focus;
    const simulation = simulationOf(event.id);
    const goal = event.kind.startsWith("goal.") ? await this.asker.one(GOAL_OF, { id: event.id }) : null;
    const title =
      event.kind === "goal.failed" && goal?.name
        ? `Why did ${goal.name} of ${event.agent} fail?`
        : `${event.kind}${event.agent ? ` by ${event.agent}` : ""}`;
    const remarks = [`${event.id}`, `at ${durationText(event.time)}`];
    if (goal?.duration) remarks.push(`after ${durationText(goal.duration)}`);
    const links = [
      ["Show in the time line", "timeline", { simulation, path: event.id, selected: `event:${event.id}` }],
      ["Query", "query", { q: `events where id = ${quoted(event.id)} | causes | as tree` }],
    ];
    this.head.replaceChildren(
      element(
        "div",
        { class: "causes-title" },
        element("h1", {}, title),
        goal?.reason && element("span", { class: `chip ${event.kind === "goal.failed" ? "bad" : ""}` }, goal.reason),
      ),
      element("div", { class: "causes-remarks muted" }, remarks.join(" · ")),
      element(
        "div",
        { class: "causes-links" },
        links.map(([text, view, params]) =>
          element("a", { class: "button", href: this.context.link(view, params) }, text),
        ),
      ),
    );
    this.led.replaceChildren();
  }

  async #effects(forest) {
    if (forest.focus.total === 0) return;
    const { count, failures } = await forest.effects();
    if (forest !== this.forest) return;
    const buttons = failures.slice(0, FAILURES_SHOWN).map(({ id, kind, agent, time }) => {
      const go = () => this.#go({ ...this.params, id });
      return element(
        "button",
        { class: "chip bad", type: "button", title: `${id} at ${durationText(time)}`, onclick: go },
        [kind, agent].filter(Boolean).join(" "),
      );
    });
    const words = `${countText(count)} event${count === 1 ? "" : "s"} came of it${buttons.length ? ", failures among them:" : ", no failure among them."}`;
    this.led.replaceChildren(element("span", { class: "muted" }, words), ...buttons);
    if (failures.length <= FAILURES_SHOWN) return;
    const q = `events goal.failed where caused by event ${quoted(forest.id)}`;
    this.led.append(
      element(
        "a",
        { href: this.context.link("query", { q }) },
        failures.length > 50 ? "more than 50 in all" : `${failures.length} in all`,
      ),
    );
  }

  #go(params) {
    this.context.navigate("causes", params);
  }

  async #typed(event) {
    event.preventDefault();
    await this.#simulations();
    const id = this.id.value.trim();
    if (id) this.#go({ ...this.params, id: id.includes(":") ? id : `${this.simulation.value}:${id}`, goal: "" });
    else this.#go({ simulation: this.simulation.value });
  }

  #empty(title, hint) {
    this.forest = undefined;
    this.wait.hidden = true;
    this.head.replaceChildren();
    this.led.replaceChildren();
    this.tree.replaceChildren(element("div", { class: "empty" }, element("strong", {}, title), hint));
  }

  #failed(error) {
    if (isEnded(error)) return;
    this.wait.hidden = true;
    this.tree.replaceChildren(
      element(
        "div",
        { class: "trouble", role: "alert" },
        element("strong", {}, "Not to be had"),
        [error.message, error.hint].filter(Boolean).join(". "),
      ),
    );
  }

  destroy() {
    this.context.keys?.remove("Causes");
    this.asker.close();
  }
}
