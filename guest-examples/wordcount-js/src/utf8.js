// UTF-8, for engines without TextDecoder and TextEncoder. Input bytes that are not UTF-8 are an error.

/** The text of some bytes. */
export function decodeUtf8(bytes) {
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const first = bytes[at];
    if (first < 0x80) {
      text += String.fromCharCode(first);
      at += 1;
      continue;
    }
    const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    let code = first & (0xff >> (length + 1));
    for (let i = 1; i < length; i += 1) {
      const next = bytes[at + i];
      if (next === undefined || (next & 0xc0) !== 0x80) throw notUtf8(at);
      code = (code << 6) | (next & 0x3f);
    }
    const least = [0, 0, 0x80, 0x800, 0x10000][length];
    const isSurrogate = code >= 0xd800 && code <= 0xdfff;
    if (first < 0xc2 || first > 0xf4 || code < least || code > 0x10ffff || isSurrogate) throw notUtf8(at);
    text += String.fromCodePoint(code);
    at += length;
  }
  return text;
}

function notUtf8(at) {
  return `a record is not UTF-8: byte ${at}`;
}

/** Appends the bytes of a text to an array of numbers. */
export function encodeUtf8(text, out) {
  for (const character of text) {
    const code = character.codePointAt(0);
    if (code < 0x80) {
      out.push(code);
    } else if (code < 0x800) {
      out.push(0xc0 | (code >> 6), 0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
      out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    } else {
      out.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 0x3f), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    }
  }
}
