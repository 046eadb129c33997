// What happened, loaded piece by piece: a tile is a chunk of lanes in a piece of time, or a piece of time alone.
//
// A level halves the pieces of the level above it. While a tile is on its way the nearest one above it is drawn; one that holds every row of its
// piece answers for all below it. At most two queries are under way, and those wait that are wanted no more.

const KEPT_MAX = 600;
const AT_ONCE = 2;

/** The level at which a piece is as long as the view or a little longer. */
export function levelOf(span, whole) {
  return Math.max(0, Math.floor(Math.log2(whole / span)));
}

/** Tiles of one sort. `load(chunk, from, to, signal)` gives `{whole: boolean, …}`; `whole` says that all rows are in it. */
export class Tiles {
  constructor({ name, whole, load, queue }) {
    this.name = name;
    this.whole = whole;
    this.load = load;
    this.queue = queue;
    this.kept = new Map();
  }

  /** The tiles that show [from, to], each the best there is; those that are missing are asked for. */
  cover(chunk, from, to, level) {
    const piece = this.whole / 2 ** level;
    const last = Math.min(2 ** level - 1, Math.floor(to / piece));
    const found = new Set();
    for (let place = Math.max(0, Math.floor(from / piece)); place <= last; place += 1) {
      const tile = this.#best(chunk, level, place);
      if (tile) found.add(tile);
    }
    return [...found];
  }

  #best(chunk, level, place) {
    let shown = null;
    for (let up = 0; up <= level; up += 1) {
      const tile = this.kept.get(`${chunk} ${level - up} ${Math.floor(place / 2 ** up)}`);
      if (!tile || tile.failed) continue;
      shown ??= tile;
      if (up === 0 || tile.whole) return this.#used(tile);
    }
    const wanted = this.kept.get(`${chunk} ${level} ${place}`);
    if (!wanted) this.queue.want(this, chunk, level, place);
    return shown;
  }

  #used(tile) {
    this.kept.delete(tile.key);
    this.kept.set(tile.key, tile);
    return tile;
  }

  async fetch(chunk, level, place, signal) {
    const piece = this.whole / 2 ** level;
    const [from, to] = [Math.floor(place * piece), Math.ceil((place + 1) * piece)];
    const key = `${chunk} ${level} ${place}`;
    const tile = { key, level, from, to, ...(await this.load(chunk, from, to, signal)) };
    this.kept.set(key, tile);
    if (this.kept.size > KEPT_MAX) this.kept.delete(this.kept.keys().next().value);
  }

  retry() {
    for (const [key, tile] of this.kept) if (tile.failed) this.kept.delete(key);
  }

  /** Not again until something changes: a tile that cannot be loaded must not be asked for at each frame. */
  fail(chunk, level, place) {
    this.kept.set(`${chunk} ${level} ${place}`, { failed: true, key: "" });
  }
}

/** The one queue of all sorts of tiles: what the last frame wanted, in its order. */
export class Queue {
  constructor({ changed, failed }) {
    this.changed = changed;
    this.failed = failed;
    this.wanted = new Map();
    this.under = new Map();
    this.ending = new AbortController();
  }

  want(tiles, chunk, level, place) {
    this.wanted.set(`${tiles.name} ${chunk} ${level} ${place}`, { tiles, chunk, level, place });
  }

  /** A frame begins: only what it wants is wanted. */
  clear() {
    this.wanted.clear();
  }

  get isBusy() {
    return this.under.size > 0 || this.wanted.size > 0;
  }

  /** A frame has ended: begin with what it wants, as far as there is room. */
  run() {
    for (const [key, job] of this.wanted) {
      if (this.under.size >= AT_ONCE) return;
      if (!this.under.has(key)) this.#begin(key, job);
    }
  }

  async #begin(key, { tiles, chunk, level, place }) {
    this.under.set(key, true);
    try {
      await tiles.fetch(chunk, level, place, this.ending.signal);
    } catch (error) {
      if (this.ending.signal.aborted) return;
      tiles.fail(chunk, level, place);
      this.failed(error);
    } finally {
      this.under.delete(key);
      this.wanted.delete(key);
    }
    this.changed();
  }

  close() {
    this.ending.abort();
  }
}
