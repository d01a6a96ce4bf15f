/** Bytes that came as hexadecimal digits, for people. */

/** Digits in groups of four bytes. */
export function groupHex(hex: string): string {
  return (hex.match(/.{1,8}/g) ?? []).join(" ");
}

/** What can be read of bytes, if anything of note can: `printable` has a dot for each byte that cannot. */
export function readablePart(printable: string | undefined): string | null {
  return printable !== undefined && /[^.\s]{3}/.test(printable) ? printable : null;
}

/** A key: as text if it is one, as a number if it has a number's eight bytes, and else as digits. */
export function keyText(hex: string, printable: string | undefined): string {
  if (printable !== undefined && printable !== "" && !printable.includes(".")) return printable;
  if (hex.length !== 16) return groupHex(hex);
  const littleEndian = (hex.match(/../g) ?? []).reverse().join("");
  return `${BigInt.asIntN(64, BigInt(`0x${littleEndian}`))}`;
}
