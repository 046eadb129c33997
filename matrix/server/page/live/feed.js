// The rows of a watch as they come, taken no faster than they are drawn.
//
// What always holds: at most ROWS_KEPT rows are remembered; the next batch is granted when this one was drawn; after a
// pause or a break the watch goes on behind the last row that was taken. Only a feed that follows what is new, and has
// fallen behind it, leaves rows out: then it says so (`isSample`), and begins again at what is new.

import { timeValue } from "../format.js";

const ROWS_KEPT = 2_000;
const DRAWN_EVERY_MS = 120;
const BEHIND_MS = 2_000; // a follower that is further behind begins again at what is new
const CAUGHT_UP_MS = 1_000;
const FULL = 500; // rows in a batch from which on there is more where it came from

/** `onChange()` whenever there is something to draw, `onBegun()` once the watch has its place in the log. State: "starting", "live", "behind", "paused", "ended", "failed". */
export class Feed {
  constructor(connection, text, { onChange, onBegun }) {
    Object.assign(this, { connection, text, onChange, onBegun });
    this.state = "starting";
    this.rows = [];
    this.columns = [];
    this.taken = 0;
    this.position = undefined;
    this.lag = undefined;
    this.isSample = false;
    this.mustTakeAll = false;
    this.problem = undefined;
    // What was written during a break is old when it comes, and none of it is to be left out.
    this.broken = () => connection.state !== "open" && this.state === "live" && (this.mustTakeAll = true);
    connection.addEventListener?.("state", this.broken);
  }

  /** Begin: at what is new, or `after` a position. */
  start(after) {
    this.stopping?.abort();
    const stopping = new AbortController();
    this.stopping = stopping;
    this.#become(after !== undefined ? "behind" : this.isSample ? "live" : "starting");
    const options = {
      after,
      signal: stopping.signal,
      onSchema: (columns) => this.#schema(columns),
      onBatch: (rows, { position }) => this.#take(rows, position, stopping),
      onPosition: (position) => this.#note(position, stopping),
    };
    this.connection.watch(this.text, options).then(
      () => this.#become("ended"),
      (error) => {
        if (stopping.signal.aborted) return;
        this.problem = error;
        this.#become("failed");
      },
    );
  }

  stop() {
    this.connection.removeEventListener?.("state", this.broken);
    this.stopping?.abort();
  }

  /** Hold still. What comes meanwhile waits in the log. */
  pause() {
    if (this.state === "ended" || this.state === "failed") return;
    this.#become("paused");
    // Without a position there is no place to go on from yet: the first one that comes ends the watch.
    if (this.position !== undefined) this.stopping.abort();
  }

  /** Go on behind the last row that was taken: nothing is left out. */
  resume() {
    if (this.state !== "paused") return;
    this.mustTakeAll = true;
    this.isSample = false;
    if (this.position === undefined) this.#become("live");
    else this.start(this.position);
  }

  /** Leave out what is in between, and follow what is new. */
  jump() {
    this.mustTakeAll = false;
    this.lag = undefined;
    this.start();
  }

  /** The value of a row by the name of its column. */
  value(row, name) {
    const place = this.places.get(name);
    return place === undefined ? undefined : row[place];
  }

  /** Rows that were there before, as objects: they stand before those that have come. */
  prepend(rows) {
    const known = new Set(this.rows.map((row) => this.value(row, "id")));
    const before = rows
      .filter(({ id }) => !known.has(id))
      .map((row) => this.columns.map(({ name }) => row[name] ?? null));
    this.rows = [...before, ...this.rows].slice(-ROWS_KEPT);
    this.taken += before.length;
    this.onChange();
  }

  #schema(columns) {
    this.columns = columns;
    this.places = new Map(columns.map(({ name }, place) => [name, place]));
    this.times = columns.flatMap(({ type }, place) => (type === "time" ? [place] : []));
    if (this.state === "starting") this.#become("live");
  }

  #place(position) {
    const isFirst = this.position === undefined;
    this.position = position;
    if (isFirst) this.onBegun?.();
  }

  #note(position, stopping) {
    if (stopping.signal.aborted) return;
    this.#place(position);
    if (this.state === "paused") stopping.abort();
    else if (this.state === "behind") this.#become("live");
    this.lag = 0;
    this.mustTakeAll = false;
  }

  #take(rows, position, stopping) {
    // What an ended watch still had in hand comes again from the next one.
    if (stopping.signal.aborted) return undefined;
    if (position !== undefined) this.#place(position);
    this.taken += rows.length;
    const fresh = rows.slice(-ROWS_KEPT);
    for (const row of fresh)
      for (const place of this.times) row[place] = row[place] === null ? null : timeValue(row[place]);
    this.rows = [...this.rows, ...fresh].slice(-ROWS_KEPT);
    this.#measure(rows.at(-1));
    if (this.state === "paused") stopping.abort();
    else if (rows.length >= FULL && this.#isTooLate()) {
      this.isSample = true;
      this.start();
      return undefined;
    }
    this.onChange();
    return new Promise((resolve) => setTimeout(resolve, DRAWN_EVERY_MS));
  }

  /** How long ago the last row was written, where rows say so. */
  #measure(row) {
    const wall = row && this.value(row, "wall");
    if (wall === undefined || wall === null) return;
    this.lag = Math.max(0, Date.now() - Number(wall) / 1000);
    if (this.lag >= CAUGHT_UP_MS) return;
    this.mustTakeAll = false;
    if (this.state === "behind") this.#become("live");
  }

  #isTooLate() {
    return this.state === "live" && !this.mustTakeAll && this.lag !== undefined && this.lag > BEHIND_MS;
  }

  #become(state) {
    this.state = state;
    this.onChange();
  }
}
