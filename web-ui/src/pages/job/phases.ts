/** From when on a job, a vertex or a subtask was in each state. */
import type { SubtaskTimes } from "../../api/types";

export interface Phase {
  state: string;
  from: number;
  to: number;
}

const ENDS: ReadonlySet<string> = new Set(["FINISHED", "FAILED", "CANCELED"]);

/** What of a life one tells apart by colour, in the order of a life. */
const WORDS: readonly [string, readonly string[]][] = [
  ["waiting", ["CREATED", "SCHEDULED", "SUSPENDED"]],
  ["starting", ["INITIALIZING", "DEPLOYING", "RECONCILING"]],
  ["running", ["RUNNING"]],
  ["restarting", ["RESTARTING"]],
  ["failed", ["FAILING", "FAILED"]],
  ["cancelled", ["CANCELLING", "CANCELING", "CANCELED"]],
  ["finished", ["FINISHED"]],
];

/** The word for a state, which stands in the legend. */
export function wordOf(state: string): string {
  return WORDS.find(([, states]) => states.includes(state))?.[0] ?? "waiting";
}

/** The words for some states, each once, in the order of a life. */
export function wordsOf(states: readonly string[]): string[] {
  const found = new Set(states.map(wordOf));
  return WORDS.map(([word]) => word).filter((word) => found.has(word));
}

/** Each state lasts until the next one; the last until now, unless it is an end. States that were not come to have time 0. */
export function phasesOf(timestamps: Readonly<Record<string, number>>, now: number): Phase[] {
  const seen = Object.entries(timestamps).filter(([, at]) => at > 0).sort(([, a], [, b]) => a - b);
  return seen.map(([state, from], at) => ({ state, from, to: seen[at + 1]?.[1] ?? (ENDS.has(state) ? from : Math.max(now, from)) }));
}

/** Of a vertex: each state from when its first subtask came to it. It is over when its last subtask is. */
export function vertexTimestamps(subtasks: readonly Pick<SubtaskTimes, "timestamps">[]): Record<string, number> {
  const found: Record<string, number> = {};
  const over = subtasks.length > 0 && subtasks.every((task) => Object.entries(task.timestamps).some(([state, at]) => ENDS.has(state) && at > 0));
  for (const { timestamps } of subtasks) {
    for (const [state, at] of Object.entries(timestamps)) {
      if (at <= 0 || (ENDS.has(state) && !over)) continue;
      const known = found[state];
      found[state] = known === undefined ? at : ENDS.has(state) ? Math.max(known, at) : Math.min(known, at);
    }
  }
  return found;
}
