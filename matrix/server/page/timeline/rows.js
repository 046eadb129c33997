// Asking: a query to rows as plain objects. Everything that the time line and the tree of causes know comes through here.
// Durations are microseconds, JSON is parsed, what is missing is null.

/** A text of the language: what a person typed, or an id of an agent, may have any letter. */
export function quoted(text) {
  return JSON.stringify(String(text));
}

/** A virtual time in a query, whole microseconds. */
export function at(us) {
  return `${Math.max(0, Math.round(us))}us`;
}

/** The number of an event in its simulation, out of its id: "1-1:42" is 42. */
export function seqOf(id) {
  return id === null || id === undefined ? null : Number(id.slice(id.lastIndexOf(":") + 1));
}

export function simulationOf(id) {
  return id.slice(0, id.lastIndexOf(":"));
}

/** Asks for one view: requests end with it, and an answer that comes after `close` is dropped. */
export class Asker {
  constructor(connection) {
    this.connection = connection;
    this.ending = new AbortController();
  }

  /** The answer in columns, for what has a hundred thousand rows. */
  async table(text, params = {}, signal = this.ending.signal) {
    const options = Object.keys(params).length ? { params, signal } : { signal };
    return this.connection.query(text, options);
  }

  async rows(text, params = {}, signal = undefined) {
    const both = signal ? AbortSignal.any([signal, this.ending.signal]) : this.ending.signal;
    return (await this.table(text, params, both)).rows();
  }

  async one(text, params = {}, signal = undefined) {
    return (await this.rows(text, params, signal))[0] ?? null;
  }

  close() {
    this.ending.abort();
  }
}

/** Was it we who ended the request? Then nobody wants to hear of it. */
export function isEnded(error) {
  return error?.name === "AbortError" || error?.code === "cancelled";
}
