// The rows of one answer, as they come: batches of Arrow memory, or of JSON arrays, behind one face.
//
// A value read here is: text, boolean, number (BigInt beyond 2^53), null for missing; durations and clock times are
// microseconds; JSON and lists are objects. Arrow memory stays as it came, and a cell is decoded when it is read.

import { narrow, parseExact } from "./exact.js";
import { timeValue } from "./format.js";

const DECODER = new TextDecoder();
const ARROW_UTF8 = 5;

/** One batch of rows in Arrow memory. */
class ArrowChunk {
  constructor(columns, head, body) {
    const stream = new Uint8Array(head.byteLength + body.byteLength);
    stream.set(new Uint8Array(head), 0);
    stream.set(new Uint8Array(body), head.byteLength);
    const table = globalThis.Arrow.tableFromIPC(stream);
    this.length = table.numRows;
    this.bytes = stream.byteLength;
    this.readers = columns.map((column, place) => reader(table.getChildAt(place), column.type));
  }

  value(row, place) {
    return this.readers[place](row, false);
  }

  raw(row, place) {
    return this.readers[place](row, true);
  }
}

/** How one column of a batch is read: (row, raw) -> value. `raw` leaves JSON as text. */
function reader(vector, type) {
  const data = vector.data.length === 1 ? vector.data[0] : undefined;
  if (data !== undefined && data.typeId === ARROW_UTF8) {
    const { values, valueOffsets } = data;
    const isMissing = missing(data);
    const isJson = type === "json";
    return (row, raw) => {
      if (isMissing(row)) return null;
      const text = DECODER.decode(values.subarray(valueOffsets[row], valueOffsets[row + 1]));
      return isJson && !raw ? parseExact(text) : text;
    };
  }
  if (data !== undefined && data.values instanceof BigInt64Array) {
    const { values } = data;
    const isMissing = missing(data);
    return (row) => (isMissing(row) ? null : narrow(values[row]));
  }
  return (row, raw) => plain(vector.get(row), raw ? "" : type);
}

/** Is a row of this Arrow data missing? */
function missing(data) {
  const { nullBitmap, offset } = data;
  if (!nullBitmap || nullBitmap.length === 0) return () => false;
  return (row) => ((nullBitmap[(offset + row) >> 3] >> ((offset + row) & 7)) & 1) === 0;
}

/** A value of Arrow's own classes as a plain one. */
function plain(value, type) {
  if (value === null || value === undefined) return null;
  if (typeof value === "bigint") return narrow(value);
  if (typeof value !== "object") return type === "json" ? parseExact(value) : value;
  if (value instanceof globalThis.Arrow.Vector) return Array.from(value, (item) => plain(item, ""));
  if (typeof value.toJSON === "function") {
    return Object.fromEntries(Object.entries(value.toJSON()).map(([name, item]) => [name, plain(item, "")]));
  }
  return value;
}

/** One batch of rows as JSON arrays. */
class RowsChunk {
  constructor(columns, rows) {
    this.length = rows.length;
    this.bytes = 0;
    this.rows = rows;
    this.isTime = columns.map((column) => column.type === "time");
  }

  value(row, place) {
    const value = this.rows[row][place];
    return this.isTime[place] && value !== null ? timeValue(value) : value;
  }

  raw(row, place) {
    return this.value(row, place);
  }
}

/** All rows that have come so far. Iterating gives an object a row. */
export class Result {
  constructor(columns, head) {
    this.columns = columns;
    this.head = head;
    this.length = 0;
    this.bytes = 0;
    this.notices = [];
    this.seconds = 0;
    this.chunks = [];
    this.starts = [];
    this.places = new Map(columns.map((column, place) => [column.name, place]));
    this.last = 0;
  }

  /** Take in one batch: bytes behind the schema's, or rows. */
  add(payload) {
    const isBytes = payload instanceof ArrayBuffer;
    const chunk = isBytes ? new ArrowChunk(this.columns, this.head, payload) : new RowsChunk(this.columns, payload);
    if (chunk.length === 0) return chunk;
    this.chunks.push(chunk);
    this.starts.push(this.length);
    this.length += chunk.length;
    this.bytes += chunk.bytes;
    return chunk;
  }

  /** The value in a row and a column (its number). */
  at(row, place) {
    const chunk = this.#chunk(row);
    return this.chunks[chunk].value(row - this.starts[chunk], place);
  }

  /** The same, but JSON is left as text where it came as text. */
  raw(row, place) {
    const chunk = this.#chunk(row);
    return this.chunks[chunk].raw(row - this.starts[chunk], place);
  }

  /** The value in a row and a column by its name; undefined where there is no such column. */
  get(row, name) {
    const place = this.places.get(name);
    return place === undefined ? undefined : this.at(row, place);
  }

  /** A row as an object. */
  row(row) {
    return Object.fromEntries(this.columns.map((column, place) => [column.name, this.at(row, place)]));
  }

  /** Rows as objects, from one place to another. */
  rows(from = 0, to = this.length) {
    return Array.from({ length: Math.max(0, Math.min(to, this.length) - from) }, (_, place) => this.row(from + place));
  }

  *[Symbol.iterator]() {
    for (let row = 0; row < this.length; row += 1) yield this.row(row);
  }

  #chunk(row) {
    if (row < 0 || row >= this.length) throw new RangeError(`no row ${row} of ${this.length}`);
    let { last } = this;
    if (row < this.starts[last] || row >= this.starts[last] + this.chunks[last].length) {
      let low = 0;
      let high = this.starts.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (this.starts[middle] <= row) low = middle;
        else high = middle - 1;
      }
      last = low;
      this.last = low;
    }
    return last;
  }
}
