// The contract's test vectors.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { BatchWriter, readBatch } from "../src/batch.js";

const vectors = JSON.parse(readFileSync(new URL("../../../sdk/vectors/batches.json", import.meta.url), "utf8"));
const bytesOf = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const hexOf = (bytes) => Buffer.from(bytes).toString("hex");

function timestampBytes(text) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(text));
  return bytes;
}

for (const { name, timestamped, keyed, rows, hex } of vectors.valid) {
  test(`reads and writes: ${name}`, () => {
    const batch = readBatch(bytesOf(hex));
    assert.equal(batch.isTimestamped, timestamped);
    assert.equal(batch.isKeyed, keyed);
    assert.equal(batch.rows.length, rows.length);
    const writer = new BatchWriter(timestamped, keyed);
    rows.forEach((row, at) => {
      const read = batch.rows[at];
      assert.equal(hexOf(read.payload), row.payload);
      if (timestamped) assert.equal(hexOf(read.timestamp), hexOf(timestampBytes(row.timestamp)));
      if (keyed) assert.equal(hexOf(read.key), row.key);
      writer.row(read.timestamp, read.key, (out) => out.push(...read.payload));
    });
    assert.equal(writer.sizeBytes, hex.length / 2);
    assert.equal(hexOf(writer.finish()), hex);
  });
}

for (const { reason, hex } of vectors.invalid) {
  test(`refuses: ${reason}`, () => {
    assert.throws(() => readBatch(bytesOf(hex)), (error) => /^malformed batch: /.test(error));
  });
}
