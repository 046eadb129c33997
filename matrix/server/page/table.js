// A table of a Result that scrolls through millions of rows: only the rows in sight are elements, and they are reused.
//
// What always holds: the rows stand in a layer that stays in sight while the box scrolls, so a fast scroll never shows
// blank. `offset` is the exact place in pixels of all rows. Browsers bound the height of an element, so beyond
// HEIGHT_MAX the scroll bar is coarser than the rows: short moves are taken as they are, long ones in proportion.

import { element } from "./dom.js";
import { cellText, isRightAligned } from "./format.js";

const ROW = 26;
const HEIGHT_MAX = 12_000_000;
const TEXT_MAX = 400;
const WIDTH = { min: 48, start: 320, json: 420, tree: 560, most: 1400 };
const SAMPLE = 200;
const NEWEST = 40;
const LETTER = 7.3;
let made = 0;

const mostOf = ({ name, type }) => (name === "tree" ? WIDTH.tree : type === "json" ? WIDTH.json : WIDTH.start);
const widthOf = (text, most) => Math.max(WIDTH.min, Math.min(most, Math.ceil(text.length * LETTER) + 22));

/** `onOpen(row)` when a row is opened, `onSelect(row, column)` when the cell that is chosen changes. */
export class Table {
  constructor(host, { onOpen, onSelect, onCopy } = {}) {
    this.onOpen = onOpen;
    this.onSelect = onSelect;
    this.onCopy = onCopy;
    this.name = `table-${(made += 1)}`;
    this.pool = [];
    this.offset = 0;
    this.expected = 0;
    this.active = { row: 0, column: 0 };
    this.head = element("div", { class: "table-head", role: "row", "aria-rowindex": "1" });
    this.rows = element("div", { class: "table-rows", role: "presentation" });
    this.layer = element("div", { class: "table-layer", role: "presentation" }, this.head, this.rows);
    this.height = element("div", { class: "table-height", role: "presentation" }, this.layer);
    this.box = element("div", { class: "table", role: "grid", tabindex: "0", "aria-label": "Rows" }, this.height);
    this.box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.rows.addEventListener("click", (event) => this.#click(event));
    this.rows.addEventListener("dblclick", () => this.onOpen?.(this.active.row));
    this.resizing = new ResizeObserver(() => this.#draw());
    this.resizing.observe(this.box);
    host.append(this.box);
  }

  destroy() {
    this.resizing.disconnect();
    clearTimeout(this.settling);
    cancelAnimationFrame(this.frame);
    this.box.remove();
  }

  /** Show a result, from its beginning. */
  show(result) {
    this.result = result;
    this.offset = 0;
    this.active = { row: 0, column: 0 };
    this.widths = undefined;
    this.looked = 0;
    this.chosen = new Set();
    this.pool = [];
    this.rows.replaceChildren();
    this.box.scrollTo(0, 0);
    this.grown();
  }

  /** More rows have come. */
  grown() {
    const { length, columns } = this.result;
    if (this.widths === undefined || (this.isEmpty && length > 0)) {
      this.isEmpty = length === 0;
      this.widths = columns.map((column, place) => this.#width(column, place));
      this.#header();
    }
    this.#widen(length);
    this.box.setAttribute("aria-rowcount", String(length + 1));
    this.box.setAttribute("aria-colcount", String(columns.length));
    this.#resize();
    this.#draw();
  }

  /** Later rows may be longer, as numbers that grow are: the newest are looked at, and a column only becomes wider. */
  #widen(length) {
    const from = Math.max(this.looked ?? 0, length - NEWEST);
    this.looked = length;
    this.result.columns.forEach((column, place) => {
      if (this.chosen.has(place)) return;
      const most = mostOf(column);
      let wide = this.widths[place];
      for (let row = from; row < length; row += 1) wide = Math.max(wide, widthOf(this.text(row, place), most));
      if (wide > this.widths[place]) this.#setWidth(place, wide);
    });
  }

  /** Choose a cell and bring it into sight. */
  select(row, column = this.active.column, { quiet = false } = {}) {
    const last = this.result.length - 1;
    this.active = {
      row: Math.max(0, Math.min(last, row)),
      column: Math.max(0, Math.min(this.result.columns.length - 1, column)),
    };
    this.#reveal();
    this.#draw();
    if (!quiet) this.onSelect?.(this.active.row, this.active.column);
  }

  get view() {
    return Math.max(ROW, this.box.clientHeight - ROW - 4);
  }

  get end() {
    return Math.max(0, this.result.length * ROW - this.view);
  }

  #resize() {
    const rows = Math.min(HEIGHT_MAX, this.result.length * ROW);
    this.height.style.height = `${rows + ROW + 4}px`;
    const width = this.widths?.reduce((sum, each) => sum + each, 0) ?? 0;
    this.height.style.width = `max(100%, ${width}px)`;
    this.bars = this.box.scrollHeight - this.box.clientHeight;
  }

  #scrolled() {
    const top = this.box.scrollTop;
    const moved = top - this.expected;
    if (moved === 0) {
      this.#soon();
      return;
    }
    this.expected = top;
    const bars = this.box.scrollHeight - this.box.clientHeight;
    if (top <= 0) this.offset = 0;
    else if (top >= bars - 1) this.offset = this.end;
    else if (this.end <= bars || Math.abs(moved) > this.view * 3) this.offset = (top / bars) * this.end;
    else this.offset += moved;
    this.offset = Math.max(0, Math.min(this.end, this.offset));
    this.#soon();
    this.#settle();
  }

  /** When scrolling rests, the bar is put where it belongs. */
  #settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.#place(), 160);
  }

  #place() {
    const bars = this.box.scrollHeight - this.box.clientHeight;
    const top = this.end === 0 ? 0 : Math.round((this.offset / this.end) * bars);
    this.expected = top;
    if (Math.abs(this.box.scrollTop - top) >= 1) this.box.scrollTop = top;
    this.expected = this.box.scrollTop;
  }

  #soon() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    if (this.result === undefined || this.widths === undefined) return;
    this.offset = Math.max(0, Math.min(this.end, this.offset));
    const needed = Math.ceil(this.view / ROW) + 1;
    while (this.pool.length < needed) this.#line();
    const first = Math.floor(this.offset / ROW);
    const size = this.pool.length;
    for (let place = 0; place < size; place += 1) {
      const row = first + place;
      this.#fill(this.pool[row % size], row, row * ROW - this.offset);
    }
    this.box.setAttribute("aria-activedescendant", this.#cellId());
  }

  #cellId() {
    const { row, column } = this.active;
    return this.pool[row % this.pool.length]?.row === row ? `${this.name}-${row % this.pool.length}-${column}` : "";
  }

  #line() {
    const place = this.pool.length;
    const cells = this.result.columns.map(({ type }, column) =>
      element("div", {
        class: isRightAligned(type) ? "cell numeric" : "cell",
        role: "gridcell",
        id: `${this.name}-${place}-${column}`,
        "aria-colindex": column + 1,
      }),
    );
    const line = element("div", { class: "table-row", role: "row" }, cells);
    cells.forEach((cell, column) => cell.style.setProperty("width", `${this.widths[column]}px`));
    this.pool.push({ line, cells, row: -1, isActive: false, column: -1 });
    this.rows.append(line);
  }

  #fill(slot, row, top) {
    const { line, cells } = slot;
    line.style.transform = `translateY(${top}px)`;
    const isActive = row === this.active.row;
    if (slot.row !== row) this.#write(slot, row);
    if (slot.isActive !== isActive || (isActive && slot.column !== this.active.column)) {
      line.classList.toggle("active", isActive);
      line.setAttribute("aria-selected", String(isActive));
      cells[slot.column]?.classList.remove("active");
      if (isActive) cells[this.active.column]?.classList.add("active");
      slot.isActive = isActive;
      slot.column = isActive ? this.active.column : -1;
    }
  }

  #write(slot, row) {
    const { line, cells } = slot;
    const isThere = row < this.result.length;
    line.hidden = !isThere;
    slot.row = isThere ? row : -1;
    if (!isThere) return;
    line.setAttribute("aria-rowindex", String(row + 2));
    line.classList.toggle("odd", row % 2 === 1);
    this.result.columns.forEach((column, place) => {
      const text = this.text(row, place);
      cells[place].textContent = text;
      if (column.name === "status") cells[place].className = `cell status-${text}`;
    });
  }

  /** A cell as it is shown: on one line, long ones cut. */
  text(row, place) {
    const text = this.fullText(row, place);
    const line = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}\u2026` : text;
    return line.includes("\n") ? line.replaceAll("\n", " \u21b5 ") : line;
  }

  /** A cell in full, as it is copied. */
  fullText(row, place) {
    const { type } = this.result.columns[place];
    return cellText(this.result.raw(row, place), type === "json" ? "" : type);
  }

  #width(column, place) {
    let longest = column.name.length + 1;
    const step = Math.max(1, Math.floor(Math.min(this.result.length, SAMPLE * 10) / SAMPLE));
    for (let row = 0; row < this.result.length && row < SAMPLE * step; row += step) {
      longest = Math.max(longest, this.text(row, place).length);
    }
    return widthOf("x".repeat(longest), mostOf(column));
  }

  #header() {
    this.head.replaceChildren(
      ...this.result.columns.map(({ name, type }, place) => {
        const cell = element(
          "div",
          {
            class: isRightAligned(type) ? "cell numeric" : "cell",
            role: "columnheader",
            "aria-colindex": place + 1,
            title: `${name}: ${type}`,
          },
          element("span", {}, name),
          element("span", { class: "grip", onpointerdown: (event) => this.#grip(event, place) }),
        );
        cell.style.setProperty("width", `${this.widths[place]}px`);
        return cell;
      }),
    );
    for (const slot of this.pool)
      slot.cells.forEach((cell, place) => cell.style.setProperty("width", `${this.widths[place]}px`));
  }

  #grip(event, place) {
    event.preventDefault();
    const start = event.clientX - this.widths[place];
    const move = (moved) => this.widen(place, moved.clientX - start);
    const end = () => window.removeEventListener("pointermove", move);
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end, { once: true });
  }

  /** Set a column's width in pixels. */
  widen(place, width) {
    this.chosen.add(place);
    this.#setWidth(place, Math.round(Math.max(WIDTH.min, Math.min(WIDTH.most, width))));
    this.#resize();
  }

  #setWidth(place, width) {
    this.widths[place] = width;
    for (const cells of [this.head.children, ...this.pool.map((slot) => slot.cells)]) {
      cells[place].style.setProperty("width", `${width}px`);
    }
  }

  #click(event) {
    const cell = event.target.closest(".cell");
    const slot = this.pool.find(({ line }) => line === cell?.parentElement);
    if (!slot) return;
    const again = slot.row === this.active.row;
    this.select(slot.row, slot.cells.indexOf(cell));
    this.box.focus();
    if (!again || event.detail === 1) this.onOpen?.(slot.row, { keepFocus: true });
  }

  #reveal() {
    const top = this.active.row * ROW;
    if (top < this.offset) this.offset = top;
    else if (top + ROW > this.offset + this.view) this.offset = top + ROW - this.view;
    this.#place();
    const left = this.widths.slice(0, this.active.column).reduce((sum, each) => sum + each, 0);
    const right = left + this.widths[this.active.column];
    if (left < this.box.scrollLeft) this.box.scrollLeft = left;
    else if (right > this.box.scrollLeft + this.box.clientWidth) this.box.scrollLeft = right - this.box.clientWidth;
  }

  #key(event) {
    if (!this.result) return;
    const { row, column } = this.active;
    const page = Math.max(1, Math.floor(this.view / ROW) - 1);
    const isCommand = event.ctrlKey || event.metaKey;
    if (isCommand && event.key === "c" && String(document.getSelection()) === "") {
      this.onCopy?.(row, column);
    } else if (isCommand && (event.key === "Home" || event.key === "End")) {
      this.select(event.key === "Home" ? 0 : this.result.length - 1);
    } else if (isCommand || event.altKey) return;
    else if (!this.#move(event.key, row, column, page)) return;
    event.preventDefault();
  }

  #move(key, row, column, page) {
    const places = {
      ArrowDown: [row + 1, column],
      j: [row + 1, column],
      ArrowUp: [row - 1, column],
      k: [row - 1, column],
      ArrowRight: [row, column + 1],
      ArrowLeft: [row, column - 1],
      PageDown: [row + page, column],
      PageUp: [row - page, column],
      Home: [row, 0],
      End: [row, this.result.columns.length - 1],
      G: [this.result.length - 1, column],
    };
    if (key in places) this.select(...places[key]);
    else if (key === "Enter") this.onOpen?.(row);
    else if (key === "c") this.onCopy?.(row, column);
    else return false;
    return true;
  }
}
