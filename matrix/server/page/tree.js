// Open data as a tree: objects and lists fold, values have the colours of the language. Keys are its arrow keys.

import { element } from "./dom.js";
import { stringifyExact } from "./exact.js";

const OPEN_ITEMS = 30;
const SHOWN_ITEMS = 200;

/** An element with the tree of a value. */
export function tree(value, label = "Data") {
  const list = element("ul", { class: "tree", role: "tree", "aria-label": label }, ...branches(value, 1));
  list.querySelector("[role=treeitem]")?.setAttribute("tabindex", "0");
  list.addEventListener("keydown", (event) => move(list, event));
  list.addEventListener("click", (event) => {
    const item = event.target.closest("[role=treeitem]");
    if (item && event.target.closest(".tree-row")) fold(item, item.getAttribute("aria-expanded") !== "true");
  });
  return list;
}

const isBranch = (value) => value !== null && typeof value === "object" && Object.keys(value).length > 0;

function branches(value, level) {
  if (!isBranch(value)) return [item(undefined, value, level)];
  const entries = Object.entries(value);
  const made = entries.slice(0, SHOWN_ITEMS).map(([key, child]) => item(key, child, level));
  if (entries.length > SHOWN_ITEMS) made.push(rest(value, entries, level));
  return made;
}

function rest(value, entries, level) {
  const more = element("li", { class: "tree-more", role: "none" });
  const show = () => more.replaceWith(...entries.slice(SHOWN_ITEMS).map(([key, child]) => item(key, child, level)));
  more.append(
    element("button", { class: "button plain", type: "button", onclick: show }, `${entries.length - SHOWN_ITEMS} more`),
  );
  return more;
}

function item(key, value, level) {
  const name = key === undefined ? [] : [element("span", { class: "tree-key" }, key), ": "];
  if (!isBranch(value)) {
    return element(
      "li",
      { role: "treeitem", tabindex: "-1", "aria-level": level },
      element("div", { class: "tree-row" }, ...name, leaf(value)),
    );
  }
  const count = Object.keys(value).length;
  const summary = Array.isArray(value) ? `[${count}]` : `{${count}}`;
  const made = element(
    "li",
    { role: "treeitem", tabindex: "-1", "aria-level": level, "aria-expanded": "false" },
    element("div", { class: "tree-row" }, ...name, element("span", { class: "faint" }, summary)),
  );
  made.children_ = () => branches(value, level + 1);
  if (level <= 2 && count <= OPEN_ITEMS) fold(made, true);
  return made;
}

function leaf(value) {
  const kind = value === null ? "null" : typeof value === "bigint" ? "number" : typeof value;
  return element("span", { class: `tree-${kind}` }, stringifyExact(value));
}

function fold(branch, isOpen) {
  if (!branch.children_) return;
  branch.setAttribute("aria-expanded", String(isOpen));
  branch.querySelector(":scope > ul")?.remove();
  if (isOpen) branch.append(element("ul", { role: "group" }, ...branch.children_()));
}

function move(list, event) {
  const items = [...list.querySelectorAll("[role=treeitem]")];
  const here = items.indexOf(document.activeElement);
  if (here < 0) return;
  const active = items[here];
  const isOpen = active.getAttribute("aria-expanded") === "true";
  const steps = { ArrowDown: items[here + 1], ArrowUp: items[here - 1], Home: items[0], End: items.at(-1) };
  if (event.key === "ArrowRight" && !isOpen) fold(active, true);
  else if (event.key === "ArrowLeft" && isOpen) fold(active, false);
  else if (event.key === "ArrowLeft") active.parentElement.closest("[role=treeitem]")?.focus();
  else if (event.key === "Enter" || event.key === " ") fold(active, !isOpen);
  else if (event.key in steps) steps[event.key]?.focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
}
