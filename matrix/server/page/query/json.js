// The answer as JSON: a page of rows at a time, more when the end comes into sight. Durations are microseconds, clock
// times ISO text, as the protocol writes them.

import { element } from "../dom.js";
import { stringifyExact } from "../exact.js";
import { countText, timeText } from "../format.js";

const PAGE = 100;
const PIECES = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d[\d.eE+-]*/g;

/** Shows rows of a result as coloured JSON. */
export class Json {
  constructor(host) {
    this.text = element("pre", { class: "json-text" });
    this.more = element("div", { class: "json-more" });
    this.box = element(
      "div",
      { class: "json", tabindex: "0", "aria-label": "JSON", role: "region" },
      this.text,
      this.more,
    );
    host.append(this.box);
    this.watching = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && this.#page(), {
      root: this.box,
      rootMargin: "400px",
    });
    this.watching.observe(this.more);
  }

  destroy() {
    this.watching.disconnect();
    this.box.remove();
  }

  show(result) {
    this.result = result;
    this.next = 0;
    this.text.replaceChildren();
    this.#page();
  }

  /** Rows from one place to another as JSON text. */
  static textOf(result, from, to) {
    const rows = [];
    for (let row = from; row < Math.min(to, result.length); row += 1) rows.push(stringifyExact(plain(result, row), 2));
    return rows.join("\n");
  }

  #page() {
    if (!this.result || this.next >= this.result.length) {
      this.more.textContent = this.result?.length ? `${countText(this.result.length)} rows` : "";
      return;
    }
    const end = Math.min(this.next + PAGE, this.result.length);
    this.text.append(...coloured(`${Json.textOf(this.result, this.next, end)}\n`));
    this.next = end;
    this.more.textContent =
      end < this.result.length
        ? `${countText(end)} of ${countText(this.result.length)} rows`
        : `${countText(end)} rows`;
    if (end < this.result.length)
      requestAnimationFrame(
        () => this.more.getBoundingClientRect().top < this.box.getBoundingClientRect().bottom && this.#page(),
      );
  }
}

/** A row as the protocol's JSON has it. */
function plain(result, row) {
  const made = result.row(row);
  for (const { name, type } of result.columns)
    if (type === "time" && made[name] !== null) made[name] = timeText(made[name]);
  return made;
}

function coloured(text) {
  const made = [];
  let at = 0;
  for (const found of text.matchAll(PIECES)) {
    const [whole, quoted, colon, word] = found;
    if (found.index > at) made.push(text.slice(at, found.index));
    const kind = colon ? "key" : quoted ? "string" : word ? "null" : "number";
    made.push(element("span", { class: `tree-${kind}` }, quoted ?? whole), colon ?? "");
    at = found.index + whole.length;
  }
  made.push(text.slice(at));
  return made;
}
