// Splits a batch of lines into batches of words.

import { BatchWriter, readBatch } from "./batch.js";
import { decodeUtf8, encodeUtf8 } from "./utf8.js";
import { wordsOf } from "./words.js";

/** Calls `emit` with batches of the words of a batch of lines, each of about `batchBytes`. */
export function splitBatch(bytes, batchBytes, emit) {
  const lines = readBatch(bytes);
  let words = new BatchWriter(lines.isTimestamped, false);
  for (const { timestamp, payload } of lines.rows) {
    for (const word of wordsOf(decodeUtf8(payload))) {
      words.row(timestamp, null, (out) => encodeUtf8(word, out));
      if (words.sizeBytes >= batchBytes) {
        emit(words.finish());
        words = new BatchWriter(lines.isTimestamped, false);
      }
    }
  }
  if (words.ends.length > 0) emit(words.finish());
}
