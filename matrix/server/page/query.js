// The first view: the query line, and beneath it the answer; without a query, what is in the store.

import { element } from "./dom.js";
import { countText } from "./format.js";
import { Overview } from "./overview.js";
import { Editor } from "./query/editor.js";
import { Results } from "./query/results.js";

const BYTES_MAX = 1_000_000_000;

/** #view=query&q=…&tab=…&row=…&value=… */
export class QueryView {
  constructor(host, context) {
    this.context = context;
    this.shown = undefined;
    this.ask = element("div", { class: "ask" });
    this.line = element("form", { class: "ask-line", onsubmit: (event) => this.#submit(event) });
    this.problem = element("div", { class: "problem", hidden: true });
    this.answer = element("div", { class: "answer" });
    this.ask.append(this.line, this.problem);
    host.append(this.ask, this.answer);
    this.editor = new Editor(this.line, {
      connection: context.connection,
      onRun: (text) => this.run(text),
      onEdit: () => this.#clear(),
      onFix: () => this.repair?.(),
      onLeave: () => this.#leave(),
    });
    this.button = element("button", { class: "button primary", type: "submit", title: "Run (Enter)" }, "Run");
    this.line.append(this.button);
  }

  /** What the URL says: the query is run if it is another one, the tab and the row are shown. */
  async show({ q = "", tab, row, value }) {
    const text = q.trim();
    if (text === this.shown) {
      this.results?.restore({ tab, row, value });
      return;
    }
    this.shown = text;
    this.editor.text = q;
    this.#clear();
    if (text === "") this.#overview();
    else await this.#run(q, { tab, row, value });
    if (document.activeElement === document.body) this.editor.focus();
  }

  destroy() {
    this.running?.abort();
    this.editor.destroy();
    this.results?.destroy();
    this.overview?.destroy();
  }

  focus() {
    this.editor.focus();
  }

  /** Run a text: it goes into the URL, and comes back from there. */
  run(text) {
    if (/^\s*watch\b/.test(text)) {
      this.editor.remember(text.trim());
      this.context.navigate("live", { q: text.trim() });
      return;
    }
    this.shown = undefined;
    this.context.navigate("query", { q: text });
  }

  async #run(text, wanted) {
    this.running?.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    this.#results().start(text, wanted);
    this.#isRunning(true);
    try {
      const result = await this.context.connection.query(text, {
        signal,
        onSchema: (shown) => this.results.schema(shown),
        onBatch: (shown) => this.#batch(shown),
        onProgress: (progress) => this.results.progress(progress),
      });
      this.editor.remember(text.trim());
      this.results.done(result);
    } catch (error) {
      if (!signal.aborted) this.#failed(error);
    } finally {
      if (this.running.signal === signal) this.#isRunning(false);
    }
  }

  /** More than a browser can hold is cut; saved as a file it is whole. */
  #batch(result) {
    this.results.batch(result);
    if (result.bytes < BYTES_MAX) return;
    this.running.abort();
    this.#isRunning(false);
    this.results.stopped();
    this.context.toast(
      `The first ${countText(result.length)} rows; the browser holds no more. Narrow the query, or save it as a file.`,
    );
  }

  #isRunning(is) {
    this.button.textContent = is ? "Stop" : "Run";
    this.button.classList.toggle("primary", !is);
    this.isRunning = is;
  }

  #leave() {
    if (this.results) this.results.focus();
    else this.editor.area.blur();
  }

  #submit(event) {
    event.preventDefault();
    if (!this.isRunning) {
      this.run(this.editor.text);
      return;
    }
    this.running.abort();
    this.#isRunning(false);
    this.results.stopped();
  }

  #results() {
    if (this.results === undefined) {
      this.overview?.destroy();
      this.overview = undefined;
      this.answer.replaceChildren();
      this.results = new Results(this.answer, this.context);
    }
    return this.results;
  }

  #overview() {
    this.running?.abort();
    this.results?.destroy();
    this.overview?.destroy();
    this.results = undefined;
    this.answer.replaceChildren();
    this.overview = new Overview(this.answer, this.context, (text) => this.run(text));
  }

  #clear() {
    this.repair = undefined;
    this.problem.hidden = true;
    this.problem.replaceChildren();
    this.editor.mark(undefined);
  }

  /** What is wrong, where, what to do, and the fix as one click. */
  #failed(error) {
    this.results.failed();
    this.editor.mark(error);
    const { line, column, fix } = error;
    const at = line === undefined ? "" : `${line}:${column}`;
    const words = element(
      "div",
      { class: "problem-words", role: "alert" },
      at && element("span", { class: "mono faint" }, at, " "),
      element("strong", {}, error.message),
      error.hint && element("span", { class: "muted" }, ` ${error.hint}`),
    );
    this.problem.replaceChildren(words, ...(fix ? [this.#fixButton(fix)] : []));
    this.problem.hidden = false;
  }

  /** One click writes the right query and runs it; what it changes stands out. */
  #fixButton(fix) {
    const { text } = this.editor;
    let start = 0;
    while (start < text.length && text[start] === fix[start]) start += 1;
    let rest = 0;
    while (rest < Math.min(text.length, fix.length) - start && text.at(-1 - rest) === fix.at(-1 - rest)) rest += 1;
    const end = fix.length - rest;
    this.repair = () => {
      this.editor.replace(0, this.editor.text.length, fix);
      this.run(fix);
    };
    return element(
      "button",
      { class: "button fix", type: "button", onclick: this.repair, title: "Write it so and run (Alt+Enter)" },
      "Fix",
      element("code", {}, fix.slice(0, start), element("b", {}, fix.slice(start, end)), fix.slice(end)),
      element("kbd", {}, "Alt \u21b5"),
    );
  }
}
