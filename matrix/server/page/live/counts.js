// Counts of what is watched, asked for again and again: events by kind, goals by outcome, agents, simulations.
//
// What always holds: counts are the store's own answers, so they are complete however many rows the table leaves out;
// the next question is asked when the last was answered, and later the longer that took.

const EVERY_MS = 1_000;
const SHARE = 2; // a question that takes 1 s is asked again after 2 s
const SAMPLES = 120;

/** `simulation` or "" for the whole store; `onChange()` after each answer. */
export class Counts {
  constructor(connection, simulation, { onChange }) {
    Object.assign(this, { connection, simulation, onChange });
    this.stopping = new AbortController();
    this.kinds = [];
    this.events = undefined;
    this.goals = {};
    this.agents = {};
    this.runs = [];
    this.rates = [];
    this.ended = undefined;
    this.#go().then(() => this.#seed());
  }

  /** The rates of the last two minutes, out of the log. */
  async #seed() {
    const { simulation } = this;
    const where = simulation ? "simulation = $simulation and " : "";
    const options = { params: simulation ? { simulation } : undefined, signal: this.stopping.signal };
    try {
      const found = (
        await this.connection.query(`events where ${where}wall > now - ${SAMPLES}s | count per 1s of wall`, options)
      ).rows();
      const before = seconds(found, performance.now());
      this.rates = [...before.slice(0, before.length - this.rates.length), ...this.rates].slice(-SAMPLES);
      this.onChange();
    } catch {
      // Without them the curve begins now.
    }
  }

  stop() {
    this.stopping.abort();
    clearTimeout(this.timer);
  }

  get rate() {
    return this.rates.at(-1)?.rate ?? 0;
  }

  async #go() {
    const { signal } = this.stopping;
    const begun = performance.now();
    try {
      await this.#ask(signal);
    } catch (error) {
      if (signal.aborted) return;
      // The connection comes back by itself; what else is wrong is told by the feed.
      this.before = undefined;
    }
    if (signal.aborted) return;
    this.onChange();
    if (this.ended) return;
    const took = performance.now() - begun;
    this.timer = setTimeout(() => this.#go(), Math.max(EVERY_MS - took, took * SHARE));
  }

  async #ask(signal) {
    const { simulation } = this;
    const where = simulation ? " where simulation = $simulation" : "";
    const options = { params: simulation ? { simulation } : undefined, signal };
    const runs = simulation ? "simulations where id = $simulation" : "simulations | sort start desc | limit 12";
    // How it stands is asked first: what is counted after the end is complete.
    this.runs = (await this.connection.query(runs, options)).rows();
    const [kinds, goals, agents] = await Promise.all(
      [`events${where} | count by kind`, `goals${where} | count by status`, `agents${where} | count by status`].map(
        (text) => this.connection.query(text, options),
      ),
    );
    this.kinds = kinds.rows().sort((a, b) => b.count - a.count);
    this.goals = Object.fromEntries(goals.rows().map(({ status, count }) => [status, count]));
    this.agents = Object.fromEntries(agents.rows().map(({ status, count }) => [status, count]));
    this.#rate(this.kinds.reduce((sum, { count }) => sum + count, 0));
    const [run] = this.runs;
    this.ended = simulation && run && run.status !== "running" ? run : undefined;
  }

  #rate(events) {
    const now = performance.now();
    if (this.before !== undefined && now > this.before.at) {
      const rate = Math.max(0, ((events - this.before.events) * 1000) / (now - this.before.at));
      this.rates = [...this.rates, { at: now, rate }].slice(-SAMPLES);
    }
    this.before = { at: now, events };
    this.events = events;
  }
}

/** Buckets of one second as rates, with 0 where there is no bucket; the last one is not over yet. */
function seconds(buckets, now) {
  if (buckets.length === 0) return [];
  const counts = new Map(buckets.map(({ time, count }) => [Math.floor(time / 1_000_000), count]));
  const [first, last] = [Math.min(...counts.keys()), Math.floor(Date.now() / 1000) - 1];
  const places = Array.from(
    { length: Math.min(SAMPLES, Math.max(0, last - first + 1)) },
    (_, place) => last - place,
  ).reverse();
  return places.map((second) => ({ at: now - (last - second) * 1000, rate: counts.get(second) ?? 0 }));
}

/** The same face for the rows of any watch: how many there were, and how many a second. */
export class RowCounts {
  constructor(feed, { onChange }) {
    this.feed = feed;
    this.rates = [];
    this.before = { at: performance.now(), taken: 0 };
    this.timer = setInterval(() => {
      const now = performance.now();
      const rate = ((feed.taken - this.before.taken) * 1000) / (now - this.before.at);
      this.rates = [...this.rates, { at: now, rate }].slice(-SAMPLES);
      this.before = { at: now, taken: feed.taken };
      onChange();
    }, EVERY_MS);
  }

  get events() {
    return this.feed.taken;
  }

  get rate() {
    return this.rates.at(-1)?.rate ?? 0;
  }

  stop() {
    clearInterval(this.timer);
  }
}
