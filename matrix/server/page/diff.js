// Two simulations side by side: what they share is folded, where they part is marked and explained, then both go on.
//
// The URL says which: `one`, `other`; `all` shows also the outcomes that are the same.

import { icon } from "./conversation/icons.js";
import { glanceText } from "./conversation/moments.js";
import * as sources from "./conversation/sources.js";
import { Aligned, eventsOf, parting } from "./diff/aligned.js";
import { outcomeTable } from "./diff/outcomes.js";
import { startPage } from "./diff/start.js";
import { element } from "./dom.js";

const LATE_MS = 120; // what takes longer shows that it is loading

export class DiffView {
  constructor(host, context) {
    this.host = host;
    this.context = context;
    this.params = {};
    this.shown = undefined;
    this.#build();
    context.keys?.add("Compare", [
      { keys: "n", label: "next difference", run: () => this.#step(1) },
      { keys: "p", label: "difference before", run: () => this.#step(-1) },
    ]);
  }

  destroy() {
    this.asking?.abort();
    this.context.keys?.remove("Compare");
  }

  async show(params) {
    this.params = { ...params };
    const { one = "", other = "", all = "" } = params;
    if (this.simulations === undefined) {
      this.simulations = await sources.simulations(this.context.connection);
      this.#fill();
    }
    this.first.value = one;
    this.second.value = other;
    if (!one || !other) return this.#suggest();
    const wanted = JSON.stringify([one, other]);
    if (wanted !== this.shown) await this.#compare(one, other, wanted);
    return this.#outcomes(all === "1");
  }

  #build() {
    const picker = (label, look) =>
      element("select", { class: `field diff-picker ${look}`, "aria-label": label, onchange: () => this.#pick() });
    this.first = picker("One simulation", "of-one");
    this.second = picker("The other simulation", "of-other");
    const swap = element(
      "button",
      {
        class: "icon-button",
        type: "button",
        title: "Change sides",
        "aria-label": "Change sides",
        onclick: () => this.#swap(),
      },
      icon("swap"),
    );
    this.tools = element("div", { class: "head-tools" });
    this.loading = element("div", { class: "loading", hidden: true });
    this.body = element("div", { class: "diff-body" });
    this.host.append(
      element(
        "header",
        { class: "diff-head" },
        this.first,
        swap,
        this.second,
        element("span", { class: "spring" }),
        this.tools,
      ),
      this.loading,
      this.body,
    );
  }

  #fill() {
    const name = ({ id, name: title, parent, status, seed }) =>
      [
        id,
        title !== id && title,
        parent ? `fork of ${parent}` : "",
        seed !== null && `seed ${seed}`,
        status !== "finished" && status,
      ]
        .filter(Boolean)
        .join("  ");
    const options = () => [
      element("option", { value: "" }, "Choose a simulation"),
      ...this.simulations.map((one) => element("option", { value: one.id }, name(one))),
    ];
    this.first.replaceChildren(...options());
    this.second.replaceChildren(...options());
  }

  #pick() {
    this.context.navigate("diff", { ...this.params, one: this.first.value, other: this.second.value });
  }

  #swap() {
    const { one, other } = this.params;
    this.context.navigate("diff", { ...this.params, one: other, other: one });
  }

  #suggest() {
    this.asking?.abort();
    this.shown = undefined;
    this.tools.replaceChildren();
    this.body.replaceChildren(startPage(this.simulations, this.params.one || this.params.other, this.context));
  }

  // -- the comparison ----------------------------------------------------------------------------

  async #compare(one, other, wanted) {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const late = setTimeout(() => (this.loading.hidden = false), LATE_MS);
    const { connection } = this.context;
    const { signal } = asking;
    try {
      const found = await connection.diff(one, other, { signal });
      const from = parting(found);
      const events = from ? await eventsOf(connection, found, from, signal) : { one: [], other: [] };
      this.shown = wanted;
      this.found = found;
      this.list = new Aligned(found, events, { context: this.context, signal }).element;
      this.side = element("aside", { class: "diff-side", "aria-label": "Outcomes" });
      this.body.replaceChildren(element("div", { class: "diff-columns" }, this.list, this.side));
      this.#links(found, events);
    } finally {
      clearTimeout(late);
      if (this.asking === asking) this.loading.hidden = true;
    }
  }

  #links({ one, other, first }, events) {
    const at = events.one[0]?.time ?? events.other[0]?.time;
    const way = (told, look) =>
      element(
        "a",
        { class: "button", href: this.context.link("timeline", { simulation: told.id, at }) },
        "Time line ",
        element("span", { class: look }, told.id),
      );
    this.tools.replaceChildren(
      first && element("span", { class: "muted" }, `they part at ${glanceText(at)}`),
      way(one, "of-one"),
      way(other, "of-other"),
    );
  }

  #outcomes(isWhole) {
    const { one, other } = this.found;
    const toggle = element(
      "button",
      { class: "toggle", type: "button", "aria-pressed": String(isWhole), onclick: () => this.#toggleAll(!isWhole) },
      "also what is the same",
    );
    this.side.replaceChildren(
      element("header", {}, element("h2", {}, "How they came out"), element("span", { class: "spring" }), toggle),
      outcomeTable(one, other, { isWhole }),
    );
  }

  #toggleAll(isWhole) {
    this.params = { ...this.params, all: isWhole ? "1" : "" };
    this.context.navigate("diff", this.params, { replace: true });
    this.#outcomes(isWhole);
  }

  /** Go to the next difference, or the one before. */
  #step(way) {
    const all = [...(this.list?.querySelectorAll("[data-differs]") ?? [])];
    const now = all.indexOf(document.activeElement);
    const next = all[Math.min(all.length - 1, Math.max(0, now + way))];
    next?.focus();
    next?.scrollIntoView({ block: "center" });
  }
}
