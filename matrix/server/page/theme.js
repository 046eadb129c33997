// Light or dark: as the system has it, until somebody chooses. The choice is remembered, and can stand in the URL.

const KEY = "matrix.theme";
const SYSTEM = window.matchMedia("(prefers-color-scheme: dark)");

/** Which look the page has. Event "change" whenever it becomes another. */
class Theme extends EventTarget {
  constructor() {
    super();
    this.chosen = localStorage.getItem(KEY) ?? "";
    SYSTEM.addEventListener("change", () => this.#apply());
    this.#apply();
  }

  /** "light" or "dark". */
  get current() {
    if (this.chosen) return this.chosen;
    return SYSTEM.matches ? "dark" : "light";
  }

  /** Choose; "" goes back to the system's. */
  choose(look) {
    const known = look === "light" || look === "dark" ? look : "";
    if (known === this.chosen) return;
    this.chosen = known;
    if (known) localStorage.setItem(KEY, known);
    else localStorage.removeItem(KEY);
    this.#apply();
  }

  toggle() {
    this.choose(this.current === "dark" ? "light" : "dark");
  }

  /** The value of a CSS variable, for canvases: theme.color("--good"). */
  color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  #apply() {
    document.documentElement.dataset.theme = this.current;
    this.dispatchEvent(new Event("change"));
  }
}

export const theme = new Theme();
