// The answer of a query: a line of what came, and tabs with the rows as a table, a chart or JSON.

import { element } from "./dom.js";
import { countText, secondsText } from "./format.js";
import { Table } from "./table.js";

export class Results {
  constructor(host, context) {
    this.context = context;
    this.head = element("div", { class: "answer-head" });
    this.body = element("div", { class: "answer-body" });
    host.append(this.head, this.body);
    this.table = new Table(this.body, { onOpen: (row) => this.#open(row), onCopy: (row, column) => this.#copy(row, column) });
  }

  destroy() {
    this.table.destroy();
  }

  start() {
    this.head.textContent = "Running";
  }

  schema(result) {
    this.result = result;
    this.table.show(result);
  }

  batch() {
    this.table.grown();
  }

  progress() {}

  done(result) {
    this.head.textContent = `${countText(result.length)} rows in ${secondsText(result.seconds)}`;
  }

  stopped() {
    this.head.textContent = "Stopped";
  }

  failed() {
    this.head.textContent = "";
  }

  restore() {}

  #open(row) {
    const id = this.result.get(row, "id");
    if (this.result.places.has("seq")) this.context.openEvent(id);
  }

  #copy(row, column) {
    navigator.clipboard.writeText(this.table.text(row, column));
  }
}
