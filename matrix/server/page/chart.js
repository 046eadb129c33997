// A chart of an aggregate: lines over the buckets of `per`, else bars; one value at a time, a colour a series.

import { bars } from "./chart/bars.js";
import { lines } from "./chart/lines.js";
import { barsOf, isAdditive, linesOf, shapeOf } from "./chart/shape.js";
import { element } from "./dom.js";
import { countText } from "./format.js";

export { shapeOf };

const OUTCOMES = {
  succeeded: "--good",
  finished: "--good",
  failed: "--bad",
  cancelled: "--cancelled",
  stopped: "--cancelled",
  running: "--running",
};

/** Draws results of one shape. `onValue(name)` when another column is chosen. */
export class Chart {
  constructor(host, { onValue, onTable } = {}) {
    this.onValue = onValue;
    this.hidden = new Set();
    this.controls = element("div", { class: "chart-controls" });
    this.picture = element("div", { class: "chart-picture" });
    this.tip = element("div", { class: "chart-tip", hidden: true });
    this.box = element("div", { class: "chart" }, this.controls, this.picture, this.tip);
    this.onTable = onTable;
    host.append(this.box);
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.picture);
  }

  destroy() {
    this.resizing.disconnect();
    this.box.remove();
  }

  /** Show a result; `value` is the name of the column to draw. */
  show(result, text, value) {
    this.result = result;
    this.shape = shapeOf(result, text);
    this.hidden.clear();
    const named = this.shape?.values.find((place) => result.columns[place].name === value);
    this.value = named ?? this.shape?.values[0];
    this.draw(true);
  }

  draw(isNew = false) {
    const width = this.picture.clientWidth;
    if (!this.result || (!isNew && width === this.width && this.picture.clientHeight === this.height)) return;
    this.width = width;
    this.height = this.picture.clientHeight;
    if (this.shape === undefined) this.#nothing();
    else if (width > 0) this.#draw(width);
  }

  #nothing() {
    this.controls.replaceChildren();
    this.picture.replaceChildren(
      element(
        "div",
        { class: "empty" },
        element("strong", {}, "Nothing to draw"),
        element(
          "span",
          {},
          "A chart needs groups and numbers, such as ",
          element("code", {}, "| count by role"),
          " or ",
          element("code", {}, "| count per 1m"),
          ".",
        ),
      ),
    );
  }

  #draw(width) {
    const { result, shape, value } = this;
    const { name, type } = result.columns[value];
    const isLine = shape.x !== undefined;
    const data = isLine ? linesOf(result, shape, value) : barsOf(result, shape, value);
    const names = isLine ? data.series.map((series) => series.name) : data.series;
    this.names = names;
    const shown = (each) => !this.hidden.has(isLine ? each.name : each);
    const kept = { ...data, series: data.series.filter(shown) };
    const options = {
      width,
      type,
      label: `${name} ${isLine ? "over time" : `by ${result.columns[shape.keys[0]].name}`}`,
      color: (series) => this.#color(series),
      tell: (told, event, title) => this.#tell(told, event, title),
    };
    this.#controls(names, data.left);
    this.picture.classList.toggle("is-line", isLine);
    if (isLine)
      this.picture.replaceChildren(
        lines(kept, { ...options, height: Math.max(180, this.height), xType: result.columns[shape.x].type }),
      );
    else this.picture.replaceChildren(bars(kept, { ...options, isStacked: isAdditive(name) }));
  }

  #color(name) {
    const last = name.split(" \u00b7 ").at(-1);
    const all = this.names.every((each) => each.split(" \u00b7 ").at(-1) in OUTCOMES);
    if (all && new Set(this.names.map((each) => OUTCOMES[each.split(" \u00b7 ").at(-1)])).size === this.names.length)
      return `var(${OUTCOMES[last]})`;
    return `var(--category-${(this.names.indexOf(name) % 8) + 1})`;
  }

  #controls(names, left) {
    const { columns } = this.result;
    const choose = element(
      "select",
      { class: "field", "aria-label": "Value", onchange: (event) => this.#choose(event.target.value) },
      this.shape.values.map((place) =>
        element("option", { value: columns[place].name, selected: place === this.value }, columns[place].name),
      ),
    );
    const legend = names.map((name) =>
      element(
        "button",
        {
          class: "legend",
          type: "button",
          "aria-pressed": String(!this.hidden.has(name)),
          onclick: () => this.#toggle(name),
        },
        element("span", { class: "swatch", style: { background: this.#color(name) } }),
        name,
      ),
    );
    this.controls.replaceChildren(
      ...(this.shape.values.length > 1 ? [choose] : [element("strong", {}, columns[this.value].name)]),
      ...(names.length > 1 || this.shape.keys.length > (this.shape.x === undefined ? 1 : 0) ? legend : []),
      ...(left > 0
        ? [element("span", { class: "faint" }, `the ${names.length} largest of ${countText(names.length + left)}`)]
        : []),
    );
  }

  #choose(name) {
    this.value = this.result.columns.findIndex((column) => column.name === name);
    this.onValue?.(name);
    this.draw(true);
  }

  #toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.draw(true);
    this.controls.querySelectorAll(".legend")[this.names.indexOf(name)]?.focus();
  }

  #tell(told, event, title) {
    this.tip.hidden = told === "" || told.length === 0;
    if (this.tip.hidden) return;
    const rows =
      typeof told === "string"
        ? [told]
        : told.map(([name, text, color]) =>
            element(
              "div",
              { class: "tip-row" },
              element("span", { class: "swatch", style: { background: color } }),
              element("span", {}, name),
              element("strong", {}, text),
            ),
          );
    this.tip.replaceChildren(...(title ? [element("div", { class: "faint" }, title)] : []), ...rows);
    const box = this.box.getBoundingClientRect();
    const x = Math.min(event.clientX - box.left + 14, box.width - this.tip.offsetWidth - 8);
    const y = Math.min(event.clientY - box.top + 14, box.height - this.tip.offsetHeight - 8);
    this.tip.style.transform = `translate(${Math.max(0, x)}px, ${Math.max(0, y)}px)`;
  }
}
