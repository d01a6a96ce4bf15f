// Words, UTF-8, and batches of words.

import assert from "node:assert/strict";
import test from "node:test";

import { BatchWriter, readBatch } from "../src/batch.js";
import { splitBatch } from "../src/split.js";
import { decodeUtf8, encodeUtf8 } from "../src/utf8.js";
import { wordsOf } from "../src/words.js";

test("words are runs of letters and digits, as in the Rust example", () => {
  assert.deepEqual(wordsOf("To be, or not: it's 2024!"), ["to", "be", "or", "not", "it", "s", "2024"]);
  assert.deepEqual(wordsOf("snake_case — naïve café"), ["snake", "case", "naïve", "café"]);
  assert.deepEqual(wordsOf("日本語 テスト ١٢٣"), ["日本語", "テスト", "١٢٣"]);
  assert.deepEqual(wordsOf("cafe\u0301s aⅣb½c²d"), ["cafe", "s", "a", "b", "c", "d"]);
  assert.deepEqual(wordsOf("STRASSE ΌΣΟΣ İstanbul"), ["strasse", "όσος", "i\u0307stanbul"]);
  assert.deepEqual(wordsOf(" ,.; "), []);
});

test("UTF-8 is read and written as the platform does", () => {
  for (const text of ["", "plain", "naïve – 日本語", "𝒳 and 🦀", "\u0000\u007f\u0080\u07ff\u0800\uffff\u{10000}\u{10ffff}"]) {
    const bytes = [];
    encodeUtf8(text, bytes);
    assert.deepEqual(Uint8Array.from(bytes), new Uint8Array(new TextEncoder().encode(text)));
    assert.equal(decodeUtf8(Uint8Array.from(bytes)), text);
  }
});

test("bytes that are not UTF-8 are refused exactly where the platform refuses them", () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const edges = [0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff];
  const check = (bytes) => {
    let expected = null;
    try {
      expected = strict.decode(Uint8Array.from(bytes));
    } catch {
      assert.throws(() => decodeUtf8(Uint8Array.from(bytes)), /not UTF-8/, String(bytes));
      return;
    }
    assert.equal(decodeUtf8(Uint8Array.from(bytes)), expected);
  };
  for (const a of edges) {
    check([a]);
    for (const b of edges) {
      check([a, b]);
      for (const c of edges) {
        check([a, b, c]);
        check([a, b, c, 0x80]);
      }
    }
  }
});

test("lines become words with their line's timestamp, in batches of about the wanted size", () => {
  const timestamp = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 0x80]);
  const lines = new BatchWriter(true, false);
  for (const line of ["to be, or", "", "not to be"]) lines.row(timestamp, null, (out) => encodeUtf8(line, out));
  const batches = [];
  splitBatch(lines.finish(), 60, (batch) => batches.push(readBatch(batch)));
  const rows = batches.flatMap((batch) => batch.rows);
  assert.equal(batches.length, 2);
  assert.deepEqual(rows.map((row) => decodeUtf8(row.payload)), ["to", "be", "or", "not", "to", "be"]);
  assert.ok(rows.every((row) => Buffer.compare(row.timestamp, timestamp) === 0));
});

test("lines without words emit nothing", () => {
  const lines = new BatchWriter(false, false);
  lines.row(null, null, (out) => encodeUtf8(" - ", out));
  splitBatch(lines.finish(), 60, () => assert.fail("emitted"));
});
