// Batches: many records in one byte string, as sdk/wit/millrace.wit lays them out.

const TIMESTAMPED = 1;
const KEYED = 2;
const HEADER_BYTES = 16;
const MAGIC = [0x4d, 0x52, 0x42, 0x31];

function u32(bytes, at) {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}

function pushU32(out, value) {
  out.push(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, (value >>> 24) & 0xff);
}

function malformed(reason) {
  return `malformed batch: ${reason}`;
}

/**
 * Checks a batch and returns its flags and rows. A row's timestamp stays as it is, eight bytes, because a number of
 * JavaScript cannot hold it.
 */
export function readBatch(bytes) {
  if (bytes.length < HEADER_BYTES) throw malformed(`${bytes.length} bytes are fewer than a header's ${HEADER_BYTES}`);
  if (MAGIC.some((byte, at) => bytes[at] !== byte)) throw malformed("it does not begin with MRB1");
  const [flags, count, index] = [u32(bytes, 4), u32(bytes, 8), u32(bytes, 12)];
  if ((flags & ~(TIMESTAMPED | KEYED)) !== 0) throw malformed(`unknown flags ${flags}`);
  if (index < HEADER_BYTES || index + 4 * count !== bytes.length) throw malformed("the row index does not end it");
  const [isTimestamped, isKeyed] = [(flags & TIMESTAMPED) !== 0, (flags & KEYED) !== 0];
  const rows = [];
  let start = HEADER_BYTES;
  for (let row = 0; row < count; row += 1) {
    const end = u32(bytes, index + 4 * row);
    if (end < start || end > index) throw malformed(`the end of row ${row} is out of order or out of bounds`);
    rows.push(readRow(bytes, start, end, row, isTimestamped, isKeyed));
    start = end;
  }
  if (start !== index) throw malformed("the last row does not end at the row index");
  return { isTimestamped, isKeyed, rows };
}

function readRow(bytes, start, end, row, isTimestamped, isKeyed) {
  const tooShort = malformed(`row ${row} is too short for its timestamp or key`);
  let [timestamp, key, at] = [null, null, start];
  if (isTimestamped) {
    if (end - at < 8) throw tooShort;
    timestamp = bytes.subarray(at, at + 8);
    at += 8;
  }
  if (isKeyed) {
    if (end - at < 4) throw tooShort;
    const length = u32(bytes, at);
    at += 4;
    if (end - at < length) throw tooShort;
    key = bytes.subarray(at, at + length);
    at += length;
  }
  return { timestamp, key, payload: bytes.subarray(at, end) };
}

/** Writes a batch, row by row. */
export class BatchWriter {
  constructor(isTimestamped, isKeyed) {
    this.isTimestamped = isTimestamped;
    this.isKeyed = isKeyed;
    this.body = [];
    this.ends = [];
  }

  /** The length of the batch if it ended here. */
  get sizeBytes() {
    return HEADER_BYTES + this.body.length + 4 * this.ends.length;
  }

  /** Appends a row; `writePayload` appends its payload to an array of numbers. */
  row(timestamp, key, writePayload) {
    if (this.isTimestamped) this.body.push(...timestamp);
    if (this.isKeyed) {
      pushU32(this.body, key.length);
      for (const byte of key) this.body.push(byte);
    }
    writePayload(this.body);
    this.ends.push(HEADER_BYTES + this.body.length);
  }

  /** The finished batch. */
  finish() {
    const header = [...MAGIC];
    pushU32(header, (this.isTimestamped ? TIMESTAMPED : 0) | (this.isKeyed ? KEYED : 0));
    pushU32(header, this.ends.length);
    pushU32(header, HEADER_BYTES + this.body.length);
    const index = [];
    for (const end of this.ends) pushU32(index, end);
    const batch = new Uint8Array(header.length + this.body.length + index.length);
    batch.set(header, 0);
    batch.set(this.body, HEADER_BYTES);
    batch.set(index, HEADER_BYTES + this.body.length);
    return batch;
  }
}
