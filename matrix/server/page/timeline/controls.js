// The line above the lanes: which simulation, which agents in which order, and zoom by button.

import { element } from "../dom.js";
import { countText } from "../format.js";
import { LANES_MAX } from "./lanes.js";

const SIMULATIONS_MAX = 1000;
const ROLES_MAX = 500;
const TYPING_MS = 350;
const OUTCOMES = [
  ["", "Any outcome"],
  ["succeeded", "Succeeded"],
  ["failed", "Failed"],
  ["cancelled", "Cancelled"],
  ["running", "Running"],
];
const SORTS = [
  ["started", "As they began"],
  ["name", "By name"],
  ["role", "By role"],
  ["turns", "Most turns first"],
  ["length", "Longest first"],
];

export class Controls {
  constructor(timeline) {
    this.timeline = timeline;
    this.simulation = element("select", {
      class: "field timeline-simulation",
      "aria-label": "Simulation",
      onchange: () => this.#go(),
    });
    this.agents = element("input", {
      class: "field timeline-filter",
      type: "search",
      spellcheck: "false",
      autocomplete: "off",
      "aria-label": "Agents by name or condition",
      placeholder: "Agents: name, or turns > 10 …",
      title: "Part of a name, or a condition on agents: did offer then got accept",
      oninput: () => this.#typed(),
    });
    this.role = choice("Role", [["", "Any role"]], () => this.#changed());
    this.outcome = choice("Agents with a goal that", OUTCOMES, () => this.#changed());
    this.sort = choice("Order of lanes", SORTS, () => this.#changed());
    this.only = element(
      "button",
      {
        class: "button timeline-only",
        type: "button",
        hidden: true,
        "aria-pressed": "false",
        onclick: () => this.#toggleOnly(),
      },
      "Only this path",
    );
    this.count = element("span", { class: "timeline-count muted", role: "status" });
    this.element = element(
      "div",
      { class: "timeline-controls", role: "toolbar", "aria-label": "What is shown" },
      this.simulation,
      this.agents,
      this.role,
      this.outcome,
      this.sort,
      this.only,
      this.count,
      element("span", { class: "spring" }),
      ...this.#zoom(),
    );
    this.agents.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#changed();
      if (event.key === "Escape") timeline.lanesHost.focus();
    });
  }

  #zoom() {
    const middle = () => this.timeline.sight.middle;
    const button = (text, title, act) =>
      element(
        "button",
        {
          class: "icon-button",
          type: "button",
          title,
          "aria-label": title,
          onclick: () => this.timeline.view && act(),
        },
        text,
      );
    return [
      button("\u2212", "Zoom out (-)", () => this.timeline.sight.zoom(1.6, middle())),
      button("+", "Zoom in (+)", () => this.timeline.sight.zoom(0.625, middle())),
      element(
        "button",
        {
          class: "button plain",
          type: "button",
          title: "The whole run (0)",
          onclick: () => this.timeline.view && this.timeline.sight.fit(),
        },
        "Fit",
      ),
    ];
  }

  /** The simulations of the store, asked for once. */
  async simulations() {
    if (!this.known) {
      const text = `simulations | limit ${SIMULATIONS_MAX} | select id, name, status, parent`;
      this.known = await this.timeline.asker.rows(text);
      this.simulation.replaceChildren(
        ...this.known.map(({ id, name, parent, status }) => {
          const remark = [parent && `fork of ${parent}`, status !== "finished" && status].filter(Boolean).join(", ");
          return element("option", { value: id }, `${short(id)} ${name ?? ""}${remark ? ` (${remark})` : ""}`);
        }),
      );
    }
    return this.known;
  }

  /** Another simulation, before anything is known of it but its id. */
  begin(simulation) {
    if (![...this.simulation.options].some((option) => option.value === simulation))
      this.simulation.append(element("option", { value: simulation }, simulation));
    this.simulation.value = simulation;
    this.role.replaceChildren(element("option", { value: "" }, "Any role"));
  }

  /** What the counts say: roles to choose from, and of how many agents lanes are a part. */
  opened(source) {
    const chosen = this.role.value;
    const roles = source.roles.filter(({ role }) => role !== null).slice(0, ROLES_MAX);
    this.role.replaceChildren(
      element("option", { value: "" }, "Any role"),
      ...roles.map(({ role, count }) => element("option", { value: role }, `${role} (${countText(count)})`)),
    );
    this.#chooseRole(chosen);
    this.#tell();
  }

  /** Say how many lanes are left, or what is wrong with the condition. */
  counted(source, error, hasPath) {
    this.told = { source, error };
    this.agents.setAttribute("aria-invalid", String(Boolean(error)));
    this.only.hidden = !hasPath;
    this.#tell();
  }

  #tell() {
    if (!this.told) return;
    const { source, error } = this.told;
    const { count } = source.lanes;
    const words =
      count === source.agents || !source.agents
        ? `${countText(count)} agents`
        : `${countText(count)} of ${countText(source.agents)} agents`;
    this.count.textContent = error ? error.message : count === LANES_MAX ? `the first ${words}` : words;
    this.count.title = error ? [error.message, error.hint].filter(Boolean).join(". ") : "";
    this.count.classList.toggle("timeline-problem", Boolean(error));
  }

  /** A role of the URL may come before roles are known. */
  #chooseRole(role) {
    if (role && ![...this.role.options].some((option) => option.value === role))
      this.role.append(element("option", { value: role }, role));
    this.role.value = role;
  }

  fromParams(params) {
    this.agents.value = params.agents ?? "";
    this.#chooseRole(params.role ?? "");
    this.outcome.value = params.outcome ?? "";
    this.sort.value = params.sort ?? "started";
    this.only.setAttribute("aria-pressed", String(params.only === "1"));
    return this.filter;
  }

  get filter() {
    return {
      agents: this.agents.value,
      role: this.role.value,
      outcome: this.outcome.value,
      sort: this.sort.value,
      only: this.only.getAttribute("aria-pressed") === "true",
    };
  }

  toParams() {
    const { agents, role, outcome, sort, only } = this.filter;
    return { agents, role, outcome, sort: sort === "started" ? "" : sort, only: only ? "1" : "" };
  }

  #go() {
    this.timeline.context.navigate("timeline", { simulation: this.simulation.value });
  }

  #typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.#changed(), TYPING_MS);
  }

  #changed() {
    clearTimeout(this.typing);
    if (this.timeline.source?.facts) this.timeline.filterChanged(this.filter);
  }

  #toggleOnly() {
    this.only.setAttribute("aria-pressed", String(!this.filter.only));
    this.#changed();
  }
}

function choice(label, options, onchange) {
  return element(
    "select",
    { class: "field", "aria-label": label, title: label, onchange },
    options.map(([value, text]) => element("option", { value }, text)),
  );
}

/** Imported simulations have ids of 36 letters; the first eight tell them apart. */
function short(id) {
  return id.length > 20 ? `${id.slice(0, 8)}…` : id;
}
