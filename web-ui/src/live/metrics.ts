/** Metrics over time, one point for each look. */

/** Points kept of a metric. */
const POINTS_MAX = 300;

export interface Series {
  at: readonly number[];
  values: readonly number[];
}

export type MetricHistory = Readonly<Record<string, Series>>;

/** Appends what was seen at a time, in seconds since 1970. A time that was seen already adds nothing. */
export function appendMetrics(history: MetricHistory, at: number, seen: Readonly<Record<string, number>>): MetricHistory {
  const next: Record<string, Series> = { ...history };
  for (const [name, value] of Object.entries(seen)) {
    const before = history[name] ?? { at: [], values: [] };
    const last = before.at[before.at.length - 1];
    if (last !== undefined && last >= at) continue;
    next[name] = { at: [...before.at, at].slice(-POINTS_MAX), values: [...before.values, value].slice(-POINTS_MAX) };
  }
  return next;
}

/** Those of the wanted names that there are; else the first ones. */
export function defaultMetrics(names: readonly string[], wanted: readonly string[], most: number): string[] {
  const known = new Set(names);
  const found = wanted.filter((name) => known.has(name));
  return (found.length > 0 ? found : [...names].sort()).slice(0, most);
}
