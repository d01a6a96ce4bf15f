/** Points and stretches of time for people. Inputs are milliseconds. */

const NONE = "–";

/** The watermark of a stream that had none yet, and of one that has ended. */
const WATERMARK_NONE = -9_223_372_036_854_775_808;
const WATERMARK_END = 9_223_372_036_854_775_807;

/** 73 → "73 ms", 12_100 → "12.1 s", 3_725_000 → "1 h 02 min". */
export function formatDuration(ms: number | null | undefined): string {
  if (typeof ms !== "number" || !Number.isFinite(ms) || ms < 0) return NONE;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** From start to end, or to now where there is no end; null without a start. */
export function elapsed(start: number, end: number, now: number): number | null {
  if (start <= 0) return null;
  return Math.max(0, (end > 0 ? end : now) - start);
}

/** Local time of day: "14:03:07". */
export function formatTime(at: number | null | undefined): string {
  if (typeof at !== "number" || at <= 0) return NONE;
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Local date and time: "2026-11-23 14:03:07". */
export function formatDateTime(at: number | null | undefined): string {
  if (typeof at !== "number" || at <= 0) return NONE;
  const date = new Date(at);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${formatTime(at)}`;
}

/** "just now", "42 s ago", "5 min ago", "3 h ago", "2 d ago". */
export function formatAgo(at: number | null | undefined, now: number): string {
  if (typeof at !== "number" || at <= 0) return NONE;
  const seconds = Math.floor((now - at) / 1_000);
  if (seconds < 3) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** Event time: UTC, since it is the data's own; "none yet" and "end" for the two that are no time. */
export function formatWatermark(watermark: number | null | undefined): string {
  if (watermark === null || watermark === undefined || Number.isNaN(watermark)) return NONE;
  if (watermark <= WATERMARK_NONE) return "none yet";
  if (watermark >= WATERMARK_END) return "end";
  const date = new Date(watermark);
  if (Number.isNaN(date.getTime())) return String(watermark);
  return date.toISOString().replace("T", " ").replace(/\.?0*Z$/, "");
}
