// The conversations to choose from: a list that is searched while one types, however long it is.
//
// What always holds: the answer of the query stays as it came; searching and sorting only choose and order its rows.

import { element } from "../dom.js";
import { countText } from "../format.js";
import { glanceText } from "./moments.js";
import { fewNames, People, receivers } from "./people.js";
import { Scroller } from "./scroller.js";

const ROW = 50;
const FEW = 40;

/** `onChoose(id, simulation)` when one is chosen. */
export class ConversationList {
  constructor(host, { onChoose }) {
    this.onChoose = onChoose;
    this.result = undefined;
    this.order = [];
    this.chosen = "";
    this.scroller = new Scroller(host, {
      render: (row) => this.#row(row),
      guess: () => ROW,
      label: "Conversations",
      role: "listbox",
    });
    this.scroller.box.addEventListener("keydown", (event) => this.#key(event));
  }

  destroy() {
    this.scroller.destroy();
  }

  /** How goals came out, by simulation: it comes when the list stands already. */
  tell(outcomes) {
    this.outcomes = outcomes;
    for (const row of [...this.scroller.drawn.keys()]) this.scroller.refresh(row);
  }

  /** Take in what there is; `simulations`: id -> {name, …}; `isOfMany`: from several simulations. */
  take(result, { simulations, isOfMany }) {
    Object.assign(this, { result, simulations, isOfMany, outcomes: undefined });
    this.texts = undefined;
    this.people = this.#known();
    this.arrange({ search: "", order: "first" });
  }

  /** Where there are few agents, each has one colour in the whole list. */
  #known() {
    const ids = new Set();
    for (let row = 0; row < this.result.length && ids.size <= FEW; row += 1)
      for (const id of receivers(this.result.get(row, "agents"))) ids.add(id);
    return ids.size <= FEW ? new People(ids) : undefined;
  }

  /** Choose and order the rows. */
  arrange({ search, order }) {
    const { result } = this;
    if (result === undefined) return;
    let rows = Array.from({ length: result.length }, (_, row) => row);
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length > 0) {
      this.texts ??= rows.map((row) => this.#text(row));
      rows = rows.filter((row) => words.every((word) => this.texts[row].includes(word)));
    }
    if (order === "longest")
      rows.sort((a, b) => Number(result.get(b, "messages")) - Number(result.get(a, "messages")) || a - b);
    if (order === "latest") rows.sort((a, b) => Number(result.get(b, "end")) - Number(result.get(a, "end")) || a - b);
    this.order = rows;
    this.scroller.show(rows.length);
    this.#describe();
  }

  /** Mark the chosen one, and bring it into view. */
  choose(id) {
    const before = this.chosen;
    this.chosen = id;
    for (const [row, shown] of this.scroller.drawn) {
      if ([before, id].includes(this.#id(row))) this.#mark(shown, this.#id(row) === id);
    }
    const place = this.placeOf(id);
    if (place >= 0) this.scroller.reveal(place);
    this.#describe();
  }

  placeOf(id) {
    return id ? this.order.findIndex((row) => this.result.get(row, "id") === id) : -1;
  }

  /** What the list says of a conversation: {agents, start, end}. */
  known(id) {
    const place = this.placeOf(id);
    if (place < 0) return undefined;
    const row = this.order[place];
    return {
      agents: receivers(this.result.get(row, "agents")),
      start: this.result.get(row, "start"),
      end: this.result.get(row, "end"),
    };
  }

  first() {
    return this.order.length > 0 ? this.#id(0) : undefined;
  }

  #id(place) {
    return this.result.get(this.order[place], "id");
  }

  #text(row) {
    const simulation = this.result.get(row, "simulation");
    return `${this.result.get(row, "agents")} ${simulation} ${this.simulations.get(simulation)?.name ?? ""}`.toLowerCase();
  }

  #row(place) {
    const row = this.order[place];
    const get = (name) => this.result.get(row, name);
    const agents = receivers(get("agents"));
    const people = this.people ?? new People(agents);
    const isChosen = get("id") === this.chosen;
    const made = element(
      "div",
      {
        class: "conversation-row",
        role: "option",
        id: `conversation-${place}`,
        onclick: () => this.onChoose(get("id"), get("simulation")),
      },
      element(
        "span",
        { class: "avatars" },
        agents.slice(0, agents.length > 3 ? 2 : 3).map((id) => people.avatar(id, { small: true })),
        agents.length > 3 && element("span", { class: "avatar small more" }, `+${agents.length - 2}`),
      ),
      element(
        "span",
        { class: "row-words" },
        element(
          "span",
          { class: "row-title", title: agents.join(", ") },
          this.isOfMany ? this.#ofMany(get("simulation"), agents) : fewNames(agents, 3),
        ),
        element("span", { class: "row-facts" }, this.#facts(get)),
      ),
      element("span", { class: "row-count", title: "messages" }, countText(Number(get("messages")))),
    );
    this.#mark(made, isChosen);
    return made;
  }

  #mark(shown, isChosen) {
    shown.classList.toggle("is-chosen", isChosen);
    shown.setAttribute("aria-selected", String(isChosen));
  }

  #ofMany(simulation, agents) {
    const name = this.simulations.get(simulation)?.name;
    const short = simulation.length > 14 ? `${simulation.slice(0, 8)}…` : simulation;
    return name && name !== simulation ? `${short}  ${name}` : `${short}  ${fewNames(agents, 3)}`;
  }

  #facts(get) {
    const facts = [
      element("span", {}, `${glanceText(get("start"))} – ${get("end") === null ? "" : glanceText(get("end"))}`),
    ];
    const counts = this.isOfMany ? this.outcomes?.get(get("simulation")) : undefined;
    for (const [status, look] of [
      ["succeeded", "good"],
      ["failed", "bad"],
      ["cancelled", "cancelled"],
      ["running", "running"],
    ]) {
      if (counts?.[status]) facts.push(element("span", { class: `outcome ${look}` }, `${counts[status]} ${status}`));
    }
    return facts;
  }

  #describe() {
    const place = this.placeOf(this.chosen);
    if (place >= 0) this.scroller.box.setAttribute("aria-activedescendant", `conversation-${place}`);
    else this.scroller.box.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.scroller.box.clientHeight / ROW) - 1);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      j: 1,
      k: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey || this.order.length === 0) return;
    event.preventDefault();
    const now = this.placeOf(this.chosen);
    const next = Math.min(this.order.length - 1, Math.max(0, now + step));
    if (next === now) return;
    const row = this.order[next];
    this.onChoose(this.result.get(row, "id"), this.result.get(row, "simulation"));
  }
}
