// What is loaded of the view, put together for painting. Tiles that are missing are asked for on the way.

import { CHUNK } from "./lanes.js";
import { levelOf } from "./tiles.js";

// Messages from agents out of sight are asked for where a piece of time has no more events than this.
const CLOSE_EVENTS = 60_000;
const CLOSE_HEIGHT = 10;

export class Pieces {
  constructor(source) {
    this.source = source;
    this.merged = [];
    this.mergedOf = null;
  }

  /** Goals, events in their order, and counts where there are too many of them. */
  of({ scale, first, last, laneHeight }) {
    const { source } = this;
    const level = levelOf(scale.span, source.whole);
    const [goals, events] = [new Set(), new Set()];
    const isClose = source.events / 2 ** level < CLOSE_EVENTS && laneHeight >= CLOSE_HEIGHT;
    for (let chunk = Math.floor(first / CHUNK); chunk <= Math.floor(last / CHUNK); chunk += 1) {
      for (const tile of source.goals.cover(chunk, scale.from, scale.to, 0)) goals.add(tile);
      for (const tile of source.acts.cover(chunk, scale.from, scale.to, level)) events.add(tile);
      if (isClose) for (const tile of source.got.cover(chunk, scale.from, scale.to, level)) events.add(tile);
    }
    const tiles = [...events];
    return {
      goals: [...goals].flatMap((tile) => tile.goals),
      counts: tiles.filter((tile) => tile.counts?.length),
      events: this.#merge(
        tiles.filter((tile) => tile.events),
        scale,
      ),
    };
  }

  /** The events of several tiles in their one order, each once. Kept while tiles are the same. */
  #merge(tiles, { from, to }) {
    const isSame =
      this.mergedOf?.length === tiles.length && tiles.every((tile, place) => tile === this.mergedOf[place]);
    if (!isSame) {
      const events = new Map();
      for (const tile of tiles) for (const event of tile.events) events.set(event.seq, event);
      this.merged = [...events.values()].sort((a, b) => a.seq - b.seq);
      this.mergedOf = tiles;
    }
    return this.merged.filter((event) => event.time >= from && event.time <= to);
  }
}
