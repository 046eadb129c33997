// Where to begin: the goals of a simulation that failed, in groups by name and reason, the most frequent first.

import { element } from "../dom.js";
import { countText } from "../format.js";
import { quoted } from "../timeline/rows.js";
import { roundedText } from "../timeline/scale.js";

const GOALS_SHOWN = 50;
const GROUPS_MAX = 40;

export class Failures {
  /** `chosen(id of the event that ended the goal)`; `grouped(group)` when another group is looked at. */
  constructor(host, { asker, chosen, grouped, failed }) {
    Object.assign(this, { host, asker, chosen, grouped, failed });
    this.groups = element("div", {
      class: "causes-groups",
      role: "listbox",
      "aria-label": "Goals that failed, by name and reason",
    });
    this.list = element("ol", { class: "causes-goals", "aria-label": "Goals that failed" });
    this.title = element("h2", {}, "Goals that failed");
    host.append(this.title, this.groups, this.list);
    this.groups.addEventListener("keydown", (event) => this.#key(event));
  }

  async show(simulation, group) {
    const key = `${simulation} ${group}`;
    if (key === this.shown) return;
    this.shown = key;
    const here = `goals where simulation = ${quoted(simulation)} and status = failed`;
    const rows = await this.asker.rows(`${here} | count by name, reason | sort count desc | limit ${GROUPS_MAX}`);
    const total = rows.reduce((sum, row) => sum + row.count, 0);
    this.title.textContent = total ? `${countText(total)} goals failed` : "No goal failed";
    this.groups.replaceChildren(...rows.map((row) => this.#group(row, total, group)));
    (this.groups.querySelector("[aria-selected=true]") ?? this.groups.firstElementChild)?.setAttribute("tabindex", "0");
    const chosen = rows.find((row) => groupName(row) === group);
    const where = chosen
      ? ` and name = ${quoted(chosen.name)} and ${chosen.reason === null ? "reason missing" : `reason = ${quoted(chosen.reason)}`}`
      : "";
    await this.#goals(here + where, GOALS_SHOWN, simulation);
  }

  #group(row, total, group) {
    const name = groupName(row);
    const isChosen = name === group;
    const bar = element("span", { class: "causes-share", "aria-hidden": "true" });
    bar.style.setProperty("--share", row.count / total);
    return element(
      "div",
      {
        class: "causes-group",
        role: "option",
        tabindex: "-1",
        "aria-selected": String(isChosen),
        onclick: () => this.grouped(isChosen ? "" : name),
      },
      bar,
      element("span", { class: "causes-name" }, row.name),
      element("span", { class: "muted causes-reason" }, row.reason ?? "no reason given"),
      element("span", { class: "causes-number" }, countText(row.count)),
    );
  }

  async #goals(where, shown, simulation) {
    const goals = await this.asker.rows(
      `${where} | sort by end | limit ${shown + 1} | select id, name, agent, end, reason`,
    );
    const made = goals
      .slice(0, shown)
      .map((goal) =>
        element(
          "li",
          {},
          element(
            "button",
            { type: "button", dataset: { goal: goal.id }, onclick: () => this.#choose(goal.id, simulation) },
            element("span", { class: "causes-time" }, goal.end === null ? "" : roundedText(goal.end)),
            element("span", { class: "causes-name" }, goal.name),
            element("span", { class: "muted" }, goal.agent ?? ""),
            element("span", { class: "faint causes-reason" }, goal.reason ?? ""),
          ),
        ),
      );
    if (goals.length > shown) {
      const more = () => this.#goals(where, shown * 4, simulation).catch((error) => this.failed(error));
      made.push(
        element(
          "li",
          {},
          element("button", { class: "causes-next", type: "button", onclick: more }, `Show ${shown * 3} more`),
        ),
      );
    }
    this.list.replaceChildren(...made);
    this.mark(this.current);
  }

  /** The event that ended the goal is where the question begins. */
  async #choose(id, simulation) {
    try {
      const end = await this.asker.one(
        `events goal.failed where simulation = ${quoted(simulation)} and goal.id = $id | select id`,
        { id },
      );
      this.chosen(end?.id ?? id, id);
    } catch (error) {
      this.failed(error);
    }
  }

  mark(goal) {
    this.current = goal;
    for (const button of this.list.querySelectorAll("[data-goal]"))
      button.setAttribute("aria-current", String(button.dataset.goal === goal));
  }

  #key(event) {
    const options = [...this.groups.children];
    const here = options.indexOf(event.target);
    if (here < 0) return;
    const acts = {
      ArrowDown: () => options[here + 1]?.focus(),
      ArrowUp: () => options[here - 1]?.focus(),
      Enter: () => event.target.click(),
      " ": () => event.target.click(),
    };
    if (!acts[event.key]) return;
    acts[event.key]();
    event.preventDefault();
  }
}

function groupName({ name, reason }) {
  return JSON.stringify([name, reason]);
}
