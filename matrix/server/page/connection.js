// The protocol's client (PROTOCOL.md): one WebSocket, any number of requests at a time.
//
// What always holds: a request ends exactly once, with its answer or a ProtocolError; batches are granted as they are
// taken. After a break the connection is made anew: watches go on behind their last row, what had no reply yet is asked
// again (nothing that is asked here changes anything), and what had come in part is told "lost".

import { parseExact, stringifyExact } from "./exact.js";
import { Result } from "./result.js";

const SUBPROTOCOL = "matrix.v1+json";
const CREDIT = 16;
const ROWS_IN_A_BATCH = 10_000;
const WAITS_MS = [300, 600, 1200, 2500, 5000];

/** An error as the protocol tells it: code, message, and where there are any line, column, start, end, hint, fix. */
export class ProtocolError extends Error {
  constructor(fields) {
    super(fields.message || fields.code);
    this.name = "ProtocolError";
    this.fields = fields;
    this.code = fields.code;
    this.hint = fields.hint || "";
    this.fix = fields.fix || "";
    this.start = fields.start;
    this.end = fields.end;
    this.line = fields.line;
    this.column = fields.column;
    this.position = fields.position;
  }
}

const lost = () => new ProtocolError({ code: "lost", message: "the connection to the server was lost" });

/**
 * A connection that keeps itself. Events: "state" whenever `state` changes.
 *
 *     const connection = new Connection("ws://127.0.0.1:8765/", token);
 *     const result = await connection.query("agents | count by role");
 *     result.row(0)                                             // {role: "buyer", count: 812}
 *
 * `state`: "connecting", "open", "lost" (it tries again by itself) or "refused" (a token is needed: `reconnect(token)`).
 */
export class Connection extends EventTarget {
  #socket;
  #requests = new Map();
  #next = 1;
  #attempt = 0;
  #timer;
  #expected;
  #ended = false;

  constructor(url, token) {
    super();
    this.url = url;
    this.token = token;
    this.state = "connecting";
    this.welcome = undefined;
    if (token) this.#open();
    else this.state = "refused";
  }

  /** Rows of a query, as a Result. `onSchema(result)`, then `onBatch(result, chunk)` whenever rows have come. */
  async query(text, options = {}) {
    return this.#rows({ type: "query", text, ...this.#wanted(options) }, options);
  }

  /** How the query was done, a row a step. */
  async explain(text, options = {}) {
    return this.#rows({ type: "explain", text, ...this.#wanted(options) }, options);
  }

  /**
   * New rows as they come. `onSchema(columns)`; `onBatch(rows, {position, columns})`, whose promise is waited for before
   * more is granted; `onPosition(position)`. Ends with the query's `limit`, an error, or the signal. Breaks are bridged.
   */
  async watch(text, options = {}) {
    const request = { type: "watch", text, credit: CREDIT };
    if (options.params) request.params = options.params;
    if (options.after !== undefined && options.after !== null) request.after = options.after;
    let columns = [];
    return this.#ask(request, {
      signal: options.signal,
      resume: true,
      schema: (message) => {
        columns = message.columns;
        options.onSchema?.(columns);
      },
      batch: (message) => options.onBatch?.(message.rows, { position: message.position, columns, message }),
      position: (message) => options.onPosition?.(message.position),
      notice: (message) => options.onNotice?.(message.text),
    });
  }

  /** What may stand at the cursor, which counts code points: [{text, start, end, kind, detail}]. */
  async complete(text, cursor, { signal } = {}) {
    return (await this.#result({ type: "complete", text, cursor }, signal)).completions;
  }

  /** Is it a query? {watch, columns}, or a ProtocolError. */
  async check(text, { params, signal } = {}) {
    return this.#result(params ? { type: "check", text, params } : { type: "check", text }, signal);
  }

  /** What is in the store, or how one simulation went. */
  async info(simulation, { signal } = {}) {
    return this.#result(simulation ? { type: "info", simulation } : { type: "info" }, signal);
  }

  /** Two simulations beside each other. */
  async diff(one, other, { signal } = {}) {
    return this.#result({ type: "diff", one, other }, signal);
  }

  /** The answer as a file: `{format: "csv"}` and the like, as a Blob. */
  async export(text, { format = "csv", params, signal } = {}) {
    const pieces = [];
    const request = { type: "export", text, format, credit: CREDIT, ...(params ? { params } : {}) };
    await this.#ask(request, { signal, batch: (message, bytes) => void pieces.push(bytes) });
    return new Blob(pieces);
  }

  /** Try again now; with a token, with that one. */
  reconnect(token) {
    if (token !== undefined) this.token = token;
    this.#attempt = 0;
    this.#socket?.close();
    this.#lose();
    this.#open();
  }

  /** End it for good. */
  close() {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#lose();
  }

  #wanted({ params, format = "arrow", page = ROWS_IN_A_BATCH }) {
    const fields = { format, page, credit: CREDIT };
    return params ? { ...fields, params } : fields;
  }

  async #rows(request, { onSchema, onBatch, onProgress, onNotice, signal }) {
    let result;
    const started = performance.now();
    const notices = [];
    const done = await this.#ask(request, {
      signal,
      schema: (message, bytes) => {
        result = new Result(message.columns, bytes);
        result.notices = notices;
        onSchema?.(result);
      },
      batch: (message, bytes) => {
        const chunk = result.add(bytes ?? message.rows);
        return onBatch?.(result, chunk);
      },
      progress: onProgress,
      notice: (message) => {
        notices.push(message.text);
        onNotice?.(message.text);
      },
    });
    result ??= new Result([], undefined);
    result.notices = notices;
    result.seconds = done.seconds ?? (performance.now() - started) / 1000;
    return result;
  }

  async #result(request, signal) {
    return (await this.#ask(request, { signal })).result;
  }

  /** Send a request when the connection stands; its `done` is the answer. */
  #ask(message, handlers) {
    return new Promise((resolve, reject) => {
      if (handlers.signal?.aborted) {
        reject(new ProtocolError({ code: "cancelled", message: "cancelled" }));
        return;
      }
      const id = this.#next;
      this.#next += 1;
      const request = {
        id,
        message: { ...message, id },
        handlers,
        resolve,
        reject,
        isSent: false,
        isAnswered: false,
        taken: 0,
        busy: Promise.resolve(),
      };
      request.abort = () => this.#cancel(request);
      handlers.signal?.addEventListener("abort", request.abort, { once: true });
      this.#requests.set(id, request);
      if (this.state === "open") this.#start(request);
    });
  }

  #start(request) {
    request.isSent = true;
    request.taken = 0;
    this.#send(request.message);
  }

  #cancel(request) {
    if (request.isSent && this.state === "open") this.#send({ type: "cancel", id: request.id });
    this.#end(request, new ProtocolError({ code: "cancelled", message: "cancelled" }));
  }

  #end(request, error, answer) {
    if (!this.#requests.delete(request.id)) return;
    request.handlers.signal?.removeEventListener("abort", request.abort);
    if (error) request.reject(error);
    else request.busy.then(() => request.resolve(answer), request.reject);
  }

  #send(message) {
    this.#socket.send(stringifyExact(message));
  }

  #open() {
    clearTimeout(this.#timer);
    this.#become("connecting");
    const socket = new WebSocket(this.url, SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#expected = undefined;
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello", token: this.token ?? "" }));
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#take(event.data);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#closed();
    };
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  #closed() {
    if (this.#ended || this.state === "refused") return;
    this.#lose();
    const wait = WAITS_MS[Math.min(this.#attempt, WAITS_MS.length - 1)];
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#open(), wait);
    this.#become("lost");
  }

  /** What had come in part is lost; watches and what had no reply yet wait for the next connection. */
  #lose() {
    for (const request of [...this.#requests.values()]) {
      if (this.#ended || (request.isAnswered && !request.handlers.resume)) this.#end(request, lost());
      else request.isSent = false;
    }
  }

  #take(data) {
    if (typeof data !== "string") {
      const message = this.#expected;
      this.#expected = undefined;
      if (message) this.#handle(message, data);
      return;
    }
    const message = parseExact(data);
    if (message.bytes !== undefined) this.#expected = message;
    else this.#handle(message);
  }

  #handle(message, bytes) {
    if (message.type === "welcome") return this.#welcomed(message);
    const request = this.#requests.get(message.id);
    if (request === undefined) {
      if (message.type === "error" && message.code === "unauthorized") this.#refused();
      return undefined;
    }
    request.isAnswered = true;
    if (message.type === "done") return this.#end(request, undefined, message);
    if (message.type === "error") return this.#failed(request, message);
    if (message.type === "batch") return this.#batch(request, message, bytes);
    if (message.position !== undefined) request.message.after = message.position;
    return request.handlers[message.type]?.(message, bytes);
  }

  #batch(request, message, bytes) {
    if (message.position !== undefined) request.message.after = message.position;
    const { id } = request;
    request.busy = request.busy
      .then(() => request.handlers.batch?.(message, bytes))
      .then(() => {
        request.taken += 1;
        if (request.taken >= CREDIT / 2) this.#grant(request);
      });
    request.busy.catch((error) => {
      if (this.state === "open") this.#send({ type: "cancel", id });
      this.#end(request, error);
    });
  }

  /** As many batches may come as were taken; told in few messages, for the server bounds those too. */
  #grant(request) {
    if (!this.#requests.has(request.id) || !request.isSent) return;
    this.#send({ type: "grant", id: request.id, credit: request.taken });
    request.taken = 0;
  }

  #failed(request, message) {
    if (message.code === "lagged" && request.handlers.resume) {
      request.message.after = message.position;
      this.#start(request);
    } else this.#end(request, new ProtocolError(message));
  }

  #welcomed(message) {
    this.welcome = message;
    this.#attempt = 0;
    this.#become("open");
    for (const request of [...this.#requests.values()]) if (!request.isSent) this.#start(request);
  }

  /** What is asked waits for the right token. */
  #refused() {
    this.#become("refused");
  }
}
