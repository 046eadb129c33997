// A long list of which only what is seen is there: any number of rows, each as high as it turns out to be.
//
// What always holds: a row has a guessed height until it is drawn, then its own; what is above the eye never moves what
// is seen. Sums of heights are kept in a tree (Fenwick's), so that any place is found in a few steps.

import { element } from "../dom.js";

const AROUND = 600; // pixels drawn beyond what is seen, so that scrolling meets rows that are there

/** Heights, and the sums before each. */
export class Heights {
  constructor(count, guess) {
    this.count = count;
    this.own = new Float64Array(count);
    this.tree = new Float64Array(count + 1);
    for (let row = 0; row < count; row += 1) {
      this.own[row] = guess(row);
      this.tree[row + 1] += this.own[row];
      const above = row + 1 + ((row + 1) & -(row + 1));
      if (above <= count) this.tree[above] += this.tree[row + 1];
    }
    this.top = 1;
    while (this.top * 2 <= count) this.top *= 2;
  }

  set(row, height) {
    const change = height - this.own[row];
    this.own[row] = height;
    for (let place = row + 1; place <= this.count; place += place & -place) this.tree[place] += change;
    return change;
  }

  /** Where a row begins. */
  before(row) {
    let sum = 0;
    for (let place = row; place > 0; place -= place & -place) sum += this.tree[place];
    return sum;
  }

  get total() {
    return this.before(this.count);
  }

  /** The row at this height. */
  at(y) {
    let place = 0;
    let rest = y;
    for (let step = this.top; step > 0; step >>= 1) {
      if (place + step <= this.count && this.tree[place + step] <= rest) {
        place += step;
        rest -= this.tree[place];
      }
    }
    return Math.min(place, Math.max(0, this.count - 1));
  }
}

/**
 * Rows in a box that scrolls. `render(row)` gives the element of a row; `guess(row)` its height before it is drawn.
 *
 * `show(count)` begins anew (`keep`: at the same place; `grows`: with the same rows and more behind them), `refresh(row)` draws
 * one again, `reveal(row)` scrolls to it.
 */
export class Scroller {
  constructor(host, { render, guess = () => 40, label = "", role = "feed" }) {
    this.render = render;
    this.guess = guess;
    this.canvas = element("div", { class: "scroller-canvas" });
    this.box = element("div", { class: "scroller", role, "aria-label": label, tabindex: "0" }, this.canvas);
    host.append(this.box);
    this.drawn = new Map();
    this.heights = new Heights(0, guess);
    this.width = 0;
    this.watcher = new ResizeObserver((entries) => this.#measured(entries));
    this.watcher.observe(this.box);
    this.box.addEventListener("scroll", () => this.draw(), { passive: true });
  }

  destroy() {
    this.watcher.disconnect();
    this.box.remove();
  }

  show(count, { keep = false, grows = false } = {}) {
    const { scrollTop } = this.box;
    const before = this.heights;
    this.#clear();
    this.heights = new Heights(count, (row) => (grows && row < before.count ? before.own[row] : this.guess(row)));
    this.#resize();
    this.box.scrollTop = keep ? scrollTop : 0;
    this.draw();
  }

  refresh(row) {
    const old = this.drawn.get(row);
    if (old === undefined) return;
    this.watcher.unobserve(old);
    const hadFocus = old.contains(document.activeElement);
    const made = this.#make(row);
    old.replaceWith(made);
    if (hadFocus) made.focus({ preventScroll: true });
    this.draw();
  }

  /** Scroll so that a row is seen; `middle` puts it there also when it is seen already. */
  reveal(row, { middle = false } = {}) {
    if (row < 0 || row >= this.heights.count) return;
    // Rows that were never drawn have guessed heights: drawing them may move the row, so look again.
    for (let again = 0; again < 4; again += 1) {
      const top = this.heights.before(row);
      const bottom = top + this.heights.own[row];
      const { scrollTop, clientHeight } = this.box;
      if (!middle && top >= scrollTop && bottom <= scrollTop + clientHeight) return;
      let wanted = top < scrollTop ? top - 8 : bottom - clientHeight + 8;
      if (middle) wanted = top - (clientHeight - Math.min(this.heights.own[row], clientHeight)) / 2;
      this.box.scrollTop = Math.max(0, wanted);
      this.draw();
      this.#measureAll();
    }
  }

  get isAtEnd() {
    return this.box.scrollTop + this.box.clientHeight >= this.heights.total - 40;
  }

  /** The element of a row, where it is drawn. */
  elementOf(row) {
    return this.drawn.get(row);
  }

  draw() {
    const { scrollTop, clientHeight } = this.box;
    if (this.heights.count === 0 || clientHeight === 0) return;
    const first = this.heights.at(Math.max(0, scrollTop - AROUND));
    const last = this.heights.at(scrollTop + clientHeight + AROUND);
    for (const [row, shown] of this.drawn) {
      if ((row < first || row > last) && !shown.contains(document.activeElement)) this.#drop(row, shown);
    }
    const fresh = [];
    for (let row = first; row <= last; row += 1) if (!this.drawn.has(row)) fresh.push(this.#make(row));
    if (fresh.length > 0) this.canvas.append(...fresh);
    this.#place();
  }

  #make(row) {
    const made = this.render(row);
    made.classList.add("scroller-row");
    made.dataset.row = row;
    this.drawn.set(row, made);
    this.watcher.observe(made);
    return made;
  }

  #drop(row, shown) {
    this.watcher.unobserve(shown);
    shown.remove();
    this.drawn.delete(row);
  }

  #clear() {
    for (const [row, shown] of this.drawn) this.#drop(row, shown);
  }

  #place() {
    for (const [row, shown] of this.drawn) shown.style.transform = `translateY(${this.heights.before(row)}px)`;
  }

  #resize() {
    this.canvas.style.height = `${this.heights.total}px`;
  }

  #measureAll() {
    for (const [row, shown] of this.drawn) this.#take(row, shown.offsetHeight);
    this.#resize();
    this.#place();
  }

  #measured(entries) {
    const isNew = entries.some((entry) => entry.target === this.box);
    for (const entry of entries) {
      if (entry.target !== this.box && entry.target.isConnected) {
        this.#take(Number(entry.target.dataset.row), entry.target.offsetHeight);
      }
    }
    this.#resize();
    if (isNew) this.draw();
    else this.#place();
  }

  /** A row's real height; what is above the eye takes the view along. */
  #take(row, height) {
    if (row >= this.heights.count || Math.abs(height - this.heights.own[row]) < 0.5) return;
    const isAbove = this.heights.before(row) + this.heights.own[row] <= this.box.scrollTop;
    const change = this.heights.set(row, height);
    if (isAbove) {
      this.#resize();
      this.box.scrollTop += change;
    }
  }
}
