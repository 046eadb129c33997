// The query line: a text area with a coloured copy behind it, completion, history, and the mark under an error.

import { Completion } from "./completion.js";
import { element } from "../dom.js";
import { toUnits } from "../offsets.js";
import { pieces } from "./syntax.js";

const HISTORY_KEY = "matrix.history";
const HISTORY_MAX = 100;

/** `onRun(text)` when the query is to be run; `onEdit()` whenever the text changes; `onFix()` when the fix is wanted; `onLeave()` on Esc. */
export class Editor {
  constructor(host, { connection, onRun, onEdit, onFix, onLeave }) {
    this.onRun = onRun;
    this.onEdit = onEdit;
    this.onFix = onFix;
    this.onLeave = onLeave;
    this.error = undefined;
    this.place = undefined;
    this.copy = element("pre", { class: "editor-copy", "aria-hidden": "true" });
    this.area = element("textarea", {
      class: "editor-area",
      rows: "1",
      spellcheck: "false",
      autocapitalize: "off",
      autocomplete: "off",
      autocorrect: "off",
      "aria-label": "Query",
      placeholder: "agents where goal succeeded | count by role",
    });
    this.box = element("div", { class: "editor" }, this.copy, this.area);
    host.append(this.box);
    this.completion = new Completion(this, connection);
    this.area.addEventListener("input", () => this.#edited());
    this.area.addEventListener("keydown", (event) => this.#key(event));
    this.area.addEventListener("scroll", () => (this.copy.scrollTop = this.area.scrollTop));
    this.draw();
  }

  destroy() {
    this.completion.destroy();
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    if (text === this.area.value) return;
    this.area.value = text;
    this.error = undefined;
    this.draw();
  }

  focus() {
    this.area.focus();
    this.area.setSelectionRange(this.text.length, this.text.length);
  }

  /** Replace a part (UTF-16 places), so that the browser's own undo knows of it. */
  replace(start, end, text) {
    this.area.focus();
    this.area.setSelectionRange(start, end);
    document.execCommand("insertText", false, text);
  }

  /** Underline the place of an error; undefined takes the mark away. */
  mark(error) {
    this.error = error;
    if (error) this.area.setAttribute("aria-invalid", "true");
    else this.area.removeAttribute("aria-invalid");
    this.draw();
  }

  /** Remember a query that ran. */
  remember(text) {
    const kept = [text, ...this.history().filter((each) => each !== text)].slice(0, HISTORY_MAX);
    localStorage.setItem(HISTORY_KEY, JSON.stringify(kept));
    this.place = undefined;
  }

  /** Queries that ran, the latest first. */
  history() {
    try {
      const kept = JSON.parse(localStorage.getItem(HISTORY_KEY) ?? "[]");
      return Array.isArray(kept) ? kept.filter((each) => typeof each === "string") : [];
    } catch {
      return [];
    }
  }

  /** The coloured copy, with the error's underline. */
  draw() {
    const { text } = this;
    const bounds = this.#bounds(text);
    const made = [];
    let at = 0;
    for (const [name, piece] of pieces(text)) {
      const cuts = [at, ...bounds.filter((bound) => bound > at && bound < at + piece.length), at + piece.length];
      for (let place = 0; place < cuts.length - 1; place += 1) {
        const isWrong = bounds.length === 2 && cuts[place] >= bounds[0] && cuts[place + 1] <= bounds[1];
        made.push(
          element(
            "span",
            { class: `${name ? `syntax-${name}` : ""}${isWrong ? " wrong" : ""}` },
            text.slice(cuts[place], cuts[place + 1]),
          ),
        );
      }
      at += piece.length;
    }
    if (bounds.length === 2 && bounds[0] >= text.length) made.push(element("span", { class: "wrong" }, "\u00a0"));
    this.copy.replaceChildren(...made, "\u200b");
  }

  #bounds(text) {
    if (this.error?.start === undefined) return [];
    const start = toUnits(text, this.error.start);
    return [start, Math.max(start + 1, toUnits(text, this.error.end))];
  }

  #edited() {
    this.place = undefined;
    this.mark(undefined);
    this.onEdit?.();
    this.completion.soon();
  }

  #key(event) {
    if (this.completion.key(event)) {
      event.preventDefault();
      event.stopPropagation();
    } else if (event.key === "Enter" && event.altKey) {
      event.preventDefault();
      this.onFix?.();
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.completion.close();
      this.onRun(this.text);
    } else if (event.key === "Escape") this.onLeave?.();
    else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && this.#recall(event.key)) event.preventDefault();
  }

  /** Up on the first line and down on the last go through the history. */
  #recall(key) {
    const { selectionStart: at } = this.area;
    const isEdge = key === "ArrowUp" ? !this.text.slice(0, at).includes("\n") : !this.text.slice(at).includes("\n");
    if (!isEdge || this.area.selectionStart !== this.area.selectionEnd) return false;
    const history = this.history();
    const next = (this.place ?? -1) + (key === "ArrowUp" ? 1 : -1);
    if (next < -1 || next >= history.length) return false;
    if (this.place === undefined || this.place === -1) this.draft = this.text;
    this.text = next === -1 ? this.draft : history[next];
    this.place = next;
    this.area.setSelectionRange(this.text.length, this.text.length);
    this.onEdit?.();
    return true;
  }
}
