// The answer of a query: a line of what came, and the rows as a table, a chart or JSON, and how they were found.

import { Chart, shapeOf } from "../chart.js";
import { element } from "../dom.js";
import { bytesText, countText, secondsText } from "../format.js";
import { Table } from "../table.js";
import { arranged } from "./arranged.js";
import { Json } from "./json.js";

const TABS = { table: "Table", chart: "Chart", json: "JSON", explain: "How" };
const FILES = { csv: "CSV", json: "JSON", jsonl: "JSON Lines", arrow: "Arrow", parquet: "Parquet" };

/** Shows one answer at a time. The tab and the chosen row stand in the URL. */
export class Results {
  constructor(host, context) {
    this.context = context;
    this.tab = "table";
    this.tabs = element(
      "div",
      { class: "tabs", role: "tablist", "aria-label": "The answer as" },
      Object.entries(TABS).map(([name, title]) => this.#tabOf(name, title)),
    );
    this.state = element("div", { class: "answer-state", role: "status", "aria-live": "polite" });
    this.actions = element("div", { class: "answer-actions" });
    this.notices = element("div", { class: "notices", hidden: true });
    this.loading = element("div", { class: "loading", hidden: true });
    this.panel = element("div", { class: "answer-panel", role: "tabpanel", id: "answer-panel" });
    this.head = element(
      "div",
      { class: "answer-head" },
      this.tabs,
      this.state,
      element("span", { class: "spring" }),
      this.actions,
    );
    host.append(this.head, this.loading, this.notices, this.panel);
    this.tabs.addEventListener("keydown", (event) => this.#tabKey(event));
    context.keys.add("Table", [
      { keys: "j k", label: "next and previous row" },
      { keys: "Enter", label: "details of the row" },
      { keys: "c", label: "copy the cell" },
      { keys: "G", label: "last row" },
      { keys: "1", label: "Table", run: () => this.#choose("table") },
      { keys: "2", label: "Chart", run: () => this.#choose("chart") },
      { keys: "3", label: "JSON", run: () => this.#choose("json") },
      { keys: "4", label: "How it was found", run: () => this.#choose("explain") },
    ]);
  }

  destroy() {
    clearInterval(this.clock);
    this.explaining?.abort();
    this.context.keys.remove("Table");
    this.shown?.destroy();
  }

  /** A query begins; `tab`, `row` and `value` come from the URL. */
  start(text, { tab, row, value }) {
    this.text = text;
    this.wanted = { tab, row, value };
    this.result = undefined;
    this.explaining?.abort();
    this.#drop();
    this.notices.hidden = true;
    this.head.hidden = false;
    this.actions.replaceChildren();
    this.loading.hidden = false;
    this.begun = performance.now();
    clearInterval(this.clock);
    this.clock = setInterval(() => this.#running(), 200);
    this.state.textContent = "";
  }

  /** The columns are known. */
  schema(result) {
    this.result = result;
    this.#mark(this.#tabFrom(this.wanted.tab ?? "table"));
    if (this.tab === "table") this.#table();
  }

  /** Rows have come. */
  batch(result) {
    if (this.tab === "table") this.shown?.grown();
    this.state.textContent = `${countText(result.length)} rows so far`;
  }

  progress({ state }) {
    this.isWaiting = state === "waiting";
  }

  done(result) {
    this.#stop();
    this.result = result;
    this.state.replaceChildren(
      element("strong", {}, result.length === 1 ? "1 row" : `${countText(result.length)} rows`),
      ` in ${secondsText(result.seconds)}`,
    );
    if (result.bytes > 10_000_000)
      this.state.append(element("span", { class: "faint" }, `, ${bytesText(result.bytes)}`));
    this.#notices(result.notices);
    this.#actions();
    const canDraw = shapeOf(result, this.text) !== undefined;
    this.tabs.querySelector("[data-tab=chart]").classList.toggle("offered", canDraw);
    const tab = this.#tabFrom(this.wanted.tab ?? (canDraw ? "chart" : "table"));
    if (tab === "table" && this.shown instanceof Table) this.#rowFromUrl();
    else this.#show(tab);
  }

  stopped() {
    this.#stop();
    this.state.textContent = this.result?.length ? `Stopped after ${countText(this.result.length)} rows` : "Stopped";
    if (this.result) this.#actions();
  }

  /** An error came. Rows that are there already stay. */
  failed() {
    this.#stop();
    if (this.result?.length) {
      this.state.textContent = `${countText(this.result.length)} rows, not all`;
      this.#actions();
      return;
    }
    this.#drop();
    this.head.hidden = true;
    this.panel.replaceChildren();
  }

  /** The URL has changed, the query has not. */
  restore({ tab, row, value }) {
    this.wanted = { tab, row, value };
    if (!this.result) return;
    const wanted = this.#tabFrom(tab ?? (shapeOf(this.result, this.text) ? "chart" : "table"));
    if (wanted !== this.tab) this.#show(wanted);
    else if (wanted === "table") this.#rowFromUrl();
  }

  /** The keyboard goes to what is shown, else to the tabs. */
  focus() {
    (this.panel.querySelector("[tabindex='0']") ?? this.tabs.querySelector("[tabindex='0']"))?.focus();
  }

  #tabOf(name, title) {
    return element(
      "button",
      {
        class: "tab",
        type: "button",
        role: "tab",
        "aria-selected": "false",
        "aria-controls": "answer-panel",
        tabindex: "-1",
        dataset: { tab: name },
        onclick: () => this.#choose(name),
      },
      title,
    );
  }

  #tabFrom(name) {
    return name in TABS ? name : "table";
  }

  #tabKey(event) {
    const names = Object.keys(TABS);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.#choose(names[(names.indexOf(this.tab) + step + names.length) % names.length]);
    this.tabs.querySelector(`[data-tab=${this.tab}]`).focus();
  }

  #choose(name) {
    if (!this.result) return;
    this.#show(name);
    this.#write({ tab: name, row: undefined, value: undefined });
  }

  #write(changes) {
    this.wanted = { ...this.wanted, ...changes };
    this.context.navigate("query", { q: this.text, ...this.wanted }, { replace: true });
  }

  #running() {
    const seconds = (performance.now() - this.begun) / 1000;
    if (seconds < 0.3 || this.result?.length) return;
    this.state.textContent = this.isWaiting
      ? `Waiting behind other queries, ${secondsText(seconds)}`
      : `Running, ${secondsText(seconds)}`;
  }

  #stop() {
    clearInterval(this.clock);
    this.isWaiting = false;
    this.loading.hidden = true;
  }

  #drop() {
    this.shown?.destroy();
    this.shown = undefined;
  }

  #mark(name) {
    this.tab = name;
    for (const tab of this.tabs.children) {
      const is = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", String(is));
      tab.setAttribute("tabindex", is ? "0" : "-1");
    }
  }

  #show(name) {
    this.#mark(name);
    this.#drop();
    this.panel.replaceChildren();
    if (name === "chart") this.#chart();
    else if (name === "json") this.#json();
    else if (name === "explain") this.#explain();
    else this.#table();
  }

  #table() {
    this.panel.replaceChildren();
    if (this.result.length === 0 && this.loading.hidden) {
      this.panel.append(
        element(
          "div",
          { class: "empty" },
          element("strong", {}, "No rows"),
          "The query is right, and nothing matches. \u201cHow\u201d tells which part let nothing pass.",
        ),
      );
      return;
    }
    this.shown = new Table(this.panel, {
      onOpen: (row) => this.#open(row),
      onSelect: (row) => this.#write({ tab: this.wanted.tab, row: row || undefined }),
      onCopy: (row, column) => this.#copy(this.shown.fullText(row, column), "Copied the cell"),
    });
    this.shown.show(arranged(this.result));
    if (this.loading.hidden) this.#rowFromUrl();
  }

  #rowFromUrl() {
    const row = Number(this.wanted.row ?? 0);
    if (this.result.length === 0) this.#table();
    else if (row !== this.shown.active.row) this.shown.select(row, undefined, { quiet: true });
  }

  #chart() {
    this.shown = new Chart(this.panel, { onValue: (value) => this.#write({ tab: "chart", value }) });
    this.shown.show(this.result, this.text, this.wanted.value);
  }

  #json() {
    this.shown = new Json(this.panel);
    this.shown.show(this.result);
  }

  async #explain() {
    this.explaining?.abort();
    this.explaining = new AbortController();
    const { signal } = this.explaining;
    this.loading.hidden = false;
    try {
      const text = this.text.replace(/^\s*explain\b/, "");
      const result = await this.context.connection.explain(text, { signal });
      if (this.tab !== "explain") return;
      this.shown = new Table(this.panel, {
        onOpen: () => {},
        onCopy: (row, column) => this.#copy(this.shown.fullText(row, column), "Copied the cell"),
      });
      this.shown.show(result);
    } catch (error) {
      if (!signal.aborted)
        this.panel.replaceChildren(
          element("div", { class: "trouble", role: "alert" }, element("strong", {}, error.message), error.hint),
        );
    } finally {
      if (!signal.aborted) this.loading.hidden = true;
    }
  }

  #notices(notices) {
    this.notices.hidden = notices.length === 0;
    this.notices.replaceChildren(...notices.map((text) => element("p", {}, text)));
  }

  #actions() {
    const files = element(
      "select",
      { class: "field", "aria-label": "Save as a file", onchange: (event) => this.#save(event.target) },
      element("option", { value: "" }, "Save as\u2026"),
      Object.entries(FILES).map(([name, title]) => element("option", { value: name }, title)),
    );
    const link = element(
      "button",
      { class: "button plain", type: "button", onclick: () => this.#copy(window.location.href, "Copied the link") },
      "Copy link",
    );
    this.actions.replaceChildren(link, files);
  }

  async #save(select) {
    const format = select.value;
    select.value = "";
    try {
      const file = await this.context.connection.export(this.text, { format });
      const url = URL.createObjectURL(file);
      element("a", { href: url, download: `answer.${format}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } catch (error) {
      this.context.toast(`Not saved: ${error.message}`);
    }
  }

  async #copy(text, said) {
    try {
      await navigator.clipboard.writeText(text);
      this.context.toast(said);
    } catch {
      this.context.toast("The browser does not let the page copy");
    }
  }

  #open(row) {
    const { result } = this;
    if (result.places.has("id") && result.places.has("seq")) {
      this.context.openEvent(result.get(row, "id"));
      return;
    }
    this.context.openRow({ columns: result.columns, row: result.row(row), number: row });
  }
}
