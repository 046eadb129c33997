// The keyboard: which keys do what everywhere, and the card that `?` shows. Views add their own with `add`.

import { element } from "./dom.js";
import { VIEWS } from "./views.js";

const isTyping = (target) => target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);

/** The keys of the page. `current()` says which view is shown: {name, view}. */
export class Keys {
  constructor(context, current) {
    this.context = context;
    this.current = current;
    this.added = new Map();
    this.prefix = false;
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  /** Keys of a view, for the card and to act on: [{keys: "j", label: "next row", run}]; without `run` only told. */
  add(title, entries) {
    this.added.set(title, entries);
  }

  remove(title) {
    this.added.delete(title);
  }

  /** Show the card of all keys. */
  help() {
    if (document.querySelector(".keys-card")) return;
    const before = document.activeElement;
    const sheet = element("div", { class: "gate keys-card" });
    const close = () => {
      sheet.remove();
      before?.focus();
    };
    const card = element(
      "div",
      { class: "card", role: "dialog", "aria-modal": "true", "aria-labelledby": "keys-title", tabindex: "-1" },
      element("h1", { id: "keys-title" }, "Keyboard"),
      this.#sections().map(([title, entries]) => section(title, entries)),
    );
    sheet.append(card);
    sheet.addEventListener("click", (event) => event.target === sheet && close());
    sheet.addEventListener("keydown", (event) => {
      if (event.key === "Escape" || event.key === "?") close();
      event.stopPropagation();
    });
    document.body.append(sheet);
    card.focus();
  }

  #sections() {
    const views = Object.entries(VIEWS).map(([, { title }], place) => [`g ${place + 1}`, title]);
    const everywhere = [
      ["/", "to the query line"],
      ["t", "light or dark"],
      ["Esc", "close what is open"],
      ["?", "this card"],
    ];
    const added = [...this.added].map(([title, entries]) => [title, entries.map(({ keys, label }) => [keys, label])]);
    return [["Everywhere", everywhere], ...added, ["Views", views]];
  }

  #press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target)) return;
    const wasPrefix = this.prefix;
    this.prefix = false;
    if (wasPrefix && this.#go(Number(event.key))) event.preventDefault();
    else if (this.#run(event.key)) event.preventDefault();
  }

  #go(number) {
    const name = Object.keys(VIEWS)[number - 1];
    if (name) this.context.navigate(name);
    return name !== undefined;
  }

  #run(key) {
    if (key === "g") this.prefix = true;
    else if (key === "?") this.help();
    else if (key === "t") this.context.theme.toggle();
    else if (key === "/") this.#queryLine();
    else if (key === "Escape") return this.context.closeDetails();
    else return this.#ofView(key);
    return true;
  }

  #ofView(key) {
    for (const entries of this.added.values()) {
      const found = entries.find((entry) => entry.run && entry.keys === key);
      if (found) {
        found.run();
        return true;
      }
    }
    return false;
  }

  #queryLine() {
    const { name, view } = this.current();
    if (name === "query") view.focus();
    else this.context.navigate("query");
  }
}

const section = (title, entries) =>
  element(
    "section",
    { class: "keys" },
    element("h2", {}, title),
    element(
      "dl",
      {},
      entries.flatMap(([keys, label]) => [
        element(
          "dt",
          {},
          keys.split(" ").map((key) => element("kbd", {}, key)),
        ),
        element("dd", {}, label),
      ]),
    ),
  );
