// What a word is: a maximal run of Unicode letters (categories L*) and decimal digits (category Nd), lower-cased.

const WORD = /[\p{L}\p{Nd}]+/gu;

/** The words of a line, in order. */
export function wordsOf(line) {
  return (line.match(WORD) ?? []).map((word) => word.toLowerCase());
}
