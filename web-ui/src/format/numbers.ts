/** Numbers for people: short, and of the same width for values of the same size. */

const NONE = "–";

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** 1234567 → "1,234,567". */
export function formatCount(value: number | null | undefined): string {
  return isNumber(value) ? grouped.format(value) : NONE;
}

/** 1234567 → "1.23 M"; up to three digits stay as they are. */
export function formatShort(value: number | null | undefined): string {
  if (!isNumber(value)) return NONE;
  const units = ["", " k", " M", " G", " T"];
  let rest = Math.abs(value);
  let unit = 0;
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  const sign = value < 0 ? "-" : "";
  return `${sign}${digits(rest, unit > 0)}${units[unit] ?? ""}`;
}

/** Three significant digits behind a unit; below that whole numbers, or one digit for what is small. */
function digits(value: number, scaled: boolean): string {
  if (scaled) return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
  if (Number.isInteger(value) || value >= 100) return value.toFixed(0);
  return value.toFixed(1);
}

/** Records a second: 21627.8 → "21.6 k/s". */
export function formatRate(value: number | null | undefined): string {
  return isNumber(value) ? `${formatShort(value)}/s` : NONE;
}

/** Bytes in powers of 1024: 266686 → "260 KiB". */
export function formatBytes(value: number | null | undefined): string {
  if (!isNumber(value) || value < 0) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let rest = value;
  let unit = 0;
  while (rest >= 1023.5 && unit < units.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${digits(rest, unit > 0)} ${units[unit] ?? ""}`;
}

/** A share from 0 to 1: 0.739 → "74 %"; what is there but rounds to nothing is "<1 %". */
export function formatShare(value: number | null | undefined): string {
  if (!isNumber(value)) return NONE;
  const percent = Math.min(1, Math.max(0, value)) * 100;
  if (percent > 0 && percent < 0.5) return "<1 %";
  return `${percent.toFixed(0)} %`;
}

/** "1 job", "2 jobs". */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** A figure that Flink may write as "NaN" or as a text. */
export function toNumber(value: unknown): number | null {
  const number = typeof value === "string" ? Number(value) : value;
  return isNumber(number) ? number : null;
}
