// The list of what may come next at the cursor. Nothing is chosen until an arrow key chooses, so Enter still runs.

import { element } from "../dom.js";
import { toCodePoints, toUnits } from "../offsets.js";

const WAIT_MS = 70;

/** The list of an editor. `soon()` asks after a moment, `key(event)` says whether the key was for the list. */
export class Completion {
  constructor(editor, connection) {
    this.editor = editor;
    this.connection = connection;
    this.items = [];
    this.chosen = -1;
    this.list = element("ul", {
      class: "completion",
      role: "listbox",
      id: "completion",
      "aria-label": "What may come next",
      hidden: true,
    });
    editor.box.append(this.list);
    const { area } = editor;
    for (const [name, value] of [
      ["role", "combobox"],
      ["aria-autocomplete", "list"],
      ["aria-controls", "completion"],
      ["aria-expanded", "false"],
    ]) {
      area.setAttribute(name, value);
    }
    area.addEventListener("blur", () => this.close());
    area.addEventListener("click", () => this.close());
    this.list.addEventListener("pointerdown", (event) => this.#pick(event));
  }

  destroy() {
    clearTimeout(this.timer);
    this.asking?.abort();
  }

  get isOpen() {
    return !this.list.hidden;
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), WAIT_MS);
  }

  /** Ask the server, and show what it says if the text is still the same. */
  async ask() {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const { area } = this.editor;
    const text = area.value;
    const at = area.selectionStart;
    try {
      const items = await this.connection.complete(text, toCodePoints(text, at), { signal });
      if (!signal.aborted && area.value === text && area.selectionStart === at && document.activeElement === area)
        this.#show(items, text, at);
    } catch {
      if (!signal.aborted) this.close(); // one that was overtaken must not close the list of the next
    }
  }

  close() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.list.hidden = true;
    this.chosen = -1;
    this.editor.area.setAttribute("aria-expanded", "false");
    this.editor.area.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const isControl = event.ctrlKey || event.metaKey;
    if (event.key === " " && event.ctrlKey) this.ask();
    else if (!this.isOpen || isControl || event.altKey || event.isComposing) return false;
    else if (event.key === "ArrowDown") this.#choose(this.chosen + 1);
    else if (event.key === "ArrowUp") this.#choose(this.chosen - 1);
    else if (event.key === "PageDown") this.#choose(Math.min(this.items.length - 1, this.chosen + 8));
    else if (event.key === "PageUp") this.#choose(Math.max(0, this.chosen - 8));
    else if (event.key === "Tab" && !event.shiftKey) this.accept(Math.max(0, this.chosen));
    else if (event.key === "Enter" && !event.shiftKey && this.chosen >= 0) this.accept(this.chosen);
    else if (event.key === "Escape") this.close();
    else return false;
    return true;
  }

  /** Take one into the text. A word of the language brings a space with it, and the next list. */
  accept(place) {
    const found = this.items[place];
    const { text } = this.editor;
    const start = toUnits(text, found.start);
    const end = toUnits(text, found.end);
    const space = found.kind === "keyword" && !/^\s/.test(text.slice(end)) ? " " : "";
    this.close();
    this.editor.replace(start, end, found.text + space);
  }

  #show(items, text, at) {
    const isWritten = items.length === 1 && text.slice(toUnits(text, items[0].start), at) === items[0].text;
    if (items.length === 0 || isWritten) {
      this.close();
      return;
    }
    this.items = items;
    this.chosen = -1;
    this.list.replaceChildren(...items.map((item, place) => row(item, place)));
    this.list.hidden = false;
    this.list.scrollTop = 0;
    this.editor.area.setAttribute("aria-expanded", "true");
    this.editor.area.removeAttribute("aria-activedescendant");
    this.#stand(toUnits(text, items[0].start));
  }

  /** Put the list under the word it completes. */
  #stand(start) {
    const range = document.createRange();
    const { node, offset } = place(this.editor.copy, start);
    range.setStart(node, offset);
    range.collapse(true);
    const word = range.getBoundingClientRect();
    const box = this.editor.box.getBoundingClientRect();
    const left = Math.min(word.left - box.left - 10, box.width - this.list.offsetWidth - 8);
    this.list.style.left = `${Math.max(0, left)}px`;
    this.list.style.top = `${word.bottom - box.top + 4}px`;
  }

  #choose(wanted) {
    const count = this.items.length;
    this.list.children[this.chosen]?.setAttribute("aria-selected", "false");
    this.chosen = wanted < 0 ? count - 1 : wanted % count;
    const shown = this.list.children[this.chosen];
    shown.setAttribute("aria-selected", "true");
    shown.scrollIntoView({ block: "nearest" });
    this.editor.area.setAttribute("aria-activedescendant", shown.id);
  }

  #pick(event) {
    const shown = event.target.closest("[role=option]");
    event.preventDefault();
    if (shown) this.accept([...this.list.children].indexOf(shown));
  }
}

const row = (item, place) =>
  element(
    "li",
    { role: "option", id: `completion-${place}`, "aria-selected": "false" },
    element("span", { class: `completion-text kind-${item.kind}` }, item.text),
    element("span", { class: "completion-detail" }, item.detail),
  );

/** The text node of the copy that has a UTF-16 place of the text. */
function place(copy, at) {
  const walker = document.createTreeWalker(copy, NodeFilter.SHOW_TEXT);
  let rest = at;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (rest <= node.length) return { node, offset: rest };
    rest -= node.length;
  }
  return { node: copy, offset: 0 };
}
