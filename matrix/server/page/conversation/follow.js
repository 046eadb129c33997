// What is new in a transcript while its simulation runs: a watch that says so, at most every second.

const EVERY_MS = 1_000;

/** `onNews()` when events came that belong to what is shown; ends with `stop`. */
export class Follow {
  constructor(connection, { simulation, conversation, agent }, onNews) {
    this.onNews = onNews;
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    const params = { simulation, conversation, agent };
    const where = conversation
      ? "messages where simulation = $simulation and conversation = $conversation"
      : agent
        ? "events where simulation = $simulation and (agent = $agent or to = $agent)"
        : "events where simulation = $simulation";
    const given = Object.fromEntries(
      Object.entries(params).filter(([name, value]) => value && where.includes(`$${name}`)),
    );
    connection
      .watch(`${where} | select id`, {
        params: given,
        signal,
        onBatch: () => this.#came(),
        onPosition: () => this.#begun(),
      })
      .catch((error) => {
        if (!signal.aborted) console.warn(error);
      });
  }

  stop() {
    this.stopping.abort();
    clearTimeout(this.timer);
  }

  /** What was written between the answer that is shown and the begin of the watch is news too. */
  #begun() {
    if (this.isBegun) return;
    this.isBegun = true;
    this.onNews();
  }

  /** Batches are granted as they are told of, so a flood of events costs a batch a second. */
  #came() {
    this.isBegun = true;
    return new Promise((resolve) => {
      this.timer = setTimeout(() => {
        resolve();
        if (!this.stopping.signal.aborted) this.onNews();
      }, EVERY_MS);
    });
  }
}
