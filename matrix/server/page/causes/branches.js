// The tree on the screen: a row for each event, with the ARIA roles and the keys of a tree.
//
// Up and down go from row to row, right unfolds and goes in, left folds and goes out, Enter shows the event's details, Space unfolds.

import { element } from "../dom.js";
import { countText, durationText } from "../format.js";
import { dataText } from "../timeline/panel.js";
import { family } from "../timeline/marks.js";
import { roundedText } from "../timeline/scale.js";
import { PAGE } from "./forest.js";

const WAY_HEAD = 4;
const WAY_TAIL = 24;

export class Branches {
  /** `chosen(event)` shows details, `centred(id)` makes an event the middle of the tree, `failed(error)` hears of trouble. */
  constructor(host, { chosen, centred, failed }) {
    Object.assign(this, { host, chosen, centred, failed });
    host.addEventListener("keydown", (event) => this.#key(event));
    host.addEventListener("focusin", (event) => this.#focused(event.target.closest("[role=treeitem]")));
  }

  show(forest) {
    this.forest = forest;
    this.isWayFolded = forest.way.length > WAY_HEAD + WAY_TAIL + 1;
    this.active = forest.focus.event.id;
    this.render();
    this.host.querySelector(`[data-id="${CSS.escape(this.active)}"]`)?.scrollIntoView({ block: "center" });
  }

  render() {
    const { forest } = this;
    const hadFocus = this.host.contains(document.activeElement);
    const rows = this.#folded(forest.rows());
    const made = [];
    for (const row of rows) {
      if (row.node === forest.root && forest.way.length > 1)
        made.push(heading(`What led to it · ${steps(forest.way.length - 1)}${forest.isCutOff ? " and more" : ""}`));
      if (row.node === forest.focus && forest.way.length > 1) made.push(heading("The event"));
      made.push(row.gap ? this.#gap(row.gap) : row.more ? this.#more(row) : this.#row(row));
      if (row.node === forest.focus)
        made.push(
          heading(
            forest.focus.total ? `What it led to · ${countText(forest.focus.total)} next` : "It led to nothing further",
          ),
        );
    }
    this.host.replaceChildren(...made);
    const here =
      this.host.querySelector(`[data-id="${CSS.escape(this.active)}"]`) ?? this.host.querySelector("[role=treeitem]");
    here?.setAttribute("tabindex", "0");
    if (hadFocus) here?.focus();
  }

  /** A long way is shown by its beginning and its end. */
  #folded(rows) {
    if (!this.isWayFolded) return rows;
    const hidden = new Set(this.forest.way.slice(WAY_HEAD, -WAY_TAIL));
    const first = this.forest.way[WAY_HEAD];
    return rows.flatMap((row) => {
      let node = row.node ?? row.more;
      while (node && !node.isOnWay) node = node.parent;
      if (row.node === first) return [{ gap: hidden.size }];
      return hidden.has(node) ? [] : [row];
    });
  }

  #gap(count) {
    const show = () => {
      this.isWayFolded = false;
      this.render();
    };
    return offer(`Show ${count} steps in between`, { level: WAY_HEAD + 1, id: "gap", act: show });
  }

  #more({ more: node, level, indent }) {
    const count = Math.min(PAGE, node.rest);
    const text = `Show ${count} more${node.rest > count ? ` of ${countText(node.rest)}` : ""}`;
    const row = offer(text, { level, id: `more ${node.event.id}`, act: () => this.#load(node) });
    row.style.setProperty("--indent", indent);
    return row;
  }

  #row({ node, level, indent, place, siblings, goesOn, isBeside }) {
    const { event } = node;
    const cause = node.parent?.event;
    const isOpen = this.#isOpen(node);
    const mark = element("span", {
      class: "causes-mark",
      "aria-hidden": "true",
      dataset: { family: family(event.kind) },
    });
    const who = event.to === null ? (event.agent ?? "simulation") : `${event.agent ?? "simulation"} → ${event.to}`;
    const row = element(
      "div",
      {
        class: `causes-row${node.isOnWay ? " on-way" : goesOn ? " goes-on" : isBeside ? " beside" : ""}${node === this.forest.focus ? " focus" : ""}`,
        role: "treeitem",
        tabindex: "-1",
        "aria-level": level,
        "aria-setsize": siblings,
        "aria-posinset": place,
        "aria-expanded": isOpen,
        "aria-current": node === this.forest.focus ? "true" : false,
        dataset: { id: event.id },
        onclick: (click) => this.#click(click, node),
        ondblclick: () => this.centred(event.id),
      },
      element("span", { class: "causes-time", title: durationText(event.time) }, roundedText(event.time)),
      element(
        "span",
        { class: "causes-after faint", title: "since its cause" },
        cause ? `+${roundedText(event.time - cause.time)}` : "",
      ),
      element(
        "span",
        { class: "causes-cell" },
        element("span", { class: "causes-twisty", "aria-hidden": "true" }),
        mark,
        element("span", { class: "causes-kind" }, event.kind),
        element("span", { class: "muted causes-who" }, who),
        element("span", { class: "faint causes-data" }, dataText(event.data, 160)),
      ),
      this.#chip(node),
    );
    row.style.setProperty("--indent", indent);
    return row;
  }

  /** Is it unfolded? undefined where there is nothing to unfold. What goes on along the way is not counted. */
  #isOpen(node) {
    const others = node.total - (node.isOnWay && node !== this.forest.focus ? 1 : 0);
    if (others <= 0) return undefined;
    return String(node.isOnWay && node !== this.forest.focus ? Boolean(node.showsOthers) : node.isOpen);
  }

  #chip(node) {
    const isBefore = node.isOnWay && node !== this.forest.focus;
    const others = node.total - (isBefore ? 1 : 0);
    const isTold = others > 1 || (others > 0 && this.#isOpen(node) === "false");
    const words = `${countText(others)}${isBefore ? " other" : ""} effect${others === 1 ? "" : "s"}`;
    const attributes = {
      class: "icon-button causes-centre",
      type: "button",
      tabindex: "-1",
      title: "Make this the middle (c)",
      "aria-label": "Make this event the middle",
    };
    const centre = element("button", { ...attributes, dataset: { act: "centre" } }, "\u25ce");
    return element("span", { class: "causes-end" }, isTold && element("span", { class: "faint" }, words), centre);
  }

  #click(event, node) {
    this.active = node.event.id;
    if (event.target.closest("[data-act=centre]")) this.centred(node.event.id);
    else if (event.target.closest(".causes-twisty")) this.#toggle(node);
    else this.chosen(node.event);
    this.#focus(event.currentTarget);
  }

  async #toggle(node, wanted = undefined) {
    if (this.#isOpen(node) === undefined) return;
    const isBefore = node.isOnWay && node !== this.forest.focus;
    const open = wanted ?? this.#isOpen(node) !== "true";
    try {
      if (isBefore) {
        node.showsOthers = open;
        if (open && node.children.length < 2) await this.forest.more(node);
      } else if (open) await this.forest.unfold(node);
      else node.isOpen = false;
      this.render();
    } catch (error) {
      this.failed(error);
    }
  }

  async #load(node) {
    try {
      const fresh = await this.forest.more(node);
      if (fresh[0]) this.active = fresh[0].event.id;
      this.render();
    } catch (error) {
      this.failed(error);
    }
  }

  #focused(row) {
    if (!row) return;
    this.host
      .querySelectorAll('[tabindex="0"][role=treeitem]')
      .forEach((other) => other.setAttribute("tabindex", "-1"));
    row.setAttribute("tabindex", "0");
    this.active = row.dataset.id;
  }

  #focus(row) {
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const row = event.target.closest("[role=treeitem]");
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = [...this.host.querySelectorAll("[role=treeitem]")];
    const here = rows.indexOf(row);
    const node = this.forest.nodes.get(row.dataset.id);
    const expanded = row.getAttribute("aria-expanded");
    const go = (other) => this.#focus(other);
    const acts = {
      ArrowDown: () => go(rows[here + 1]),
      ArrowUp: () => go(rows[here - 1]),
      Home: () => go(rows[0]),
      End: () => go(rows.at(-1)),
      PageDown: () => go(rows[Math.min(rows.length - 1, here + 15)]),
      PageUp: () => go(rows[Math.max(0, here - 15)]),
      ArrowRight: () =>
        node && expanded === "false" ? this.#toggle(node, true) : expanded === "true" && go(rows[here + 1]),
      ArrowLeft: () => (node && expanded === "true" ? this.#toggle(node, false) : this.#outwards(rows, row)),
      Enter: () => (node ? this.chosen(node.event) : row.click()),
      " ": () => (node ? this.#toggle(node) : row.click()),
      c: () => node && this.centred(node.event.id),
    };
    if (!acts[event.key]) return;
    acts[event.key]();
    event.preventDefault();
    event.stopPropagation();
  }

  #outwards(rows, row) {
    const level = Number(row.getAttribute("aria-level"));
    const above = rows
      .slice(0, rows.indexOf(row))
      .findLast((other) => Number(other.getAttribute("aria-level")) < level);
    this.#focus(above);
  }
}

/** A row that shows more when it is asked to. */
function offer(text, { level, id, act }) {
  const attributes = {
    class: "causes-row causes-more",
    role: "treeitem",
    tabindex: "-1",
    "aria-level": level,
    dataset: { id },
    onclick: act,
  };
  return element("div", attributes, element("span"), element("span"), element("span", {}, text));
}

function heading(text) {
  return element("div", { class: "causes-heading", role: "presentation" }, element("h2", {}, text));
}

function steps(count) {
  return `${countText(count)} step${count === 1 ? "" : "s"}`;
}
