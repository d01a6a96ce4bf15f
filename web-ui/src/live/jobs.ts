/** The list of jobs as events change it, and what the overview says of it. */
import type { JobState, JobSummary, JobsEvent, JobsOverview } from "../api/types";

/** Applies an event: entries that are new or changed take their places, newest first; removed ones go. */
export function applyJobs(list: JobsOverview | undefined, event: JobsEvent): JobsOverview {
  if (list === undefined) return { jobs: sorted(event.jobs) };
  const changed = new Map(event.jobs.map((job) => [job.jid, job]));
  const removed = new Set(event.removed ?? []);
  const kept = list.jobs.filter((job) => !removed.has(job.jid) && !changed.has(job.jid));
  return { jobs: sorted([...kept, ...changed.values()]) };
}

function sorted(jobs: readonly JobSummary[]): JobSummary[] {
  return [...jobs].sort((a, b) => b["start-time"] - a["start-time"] || (a.jid < b.jid ? -1 : 1));
}

const TERMINAL: ReadonlySet<JobState> = new Set(["FAILED", "CANCELED", "FINISHED"]);

export function isTerminal(state: JobState): boolean {
  return TERMINAL.has(state);
}

export type JobSortKey = "name" | "state" | "start-time" | "duration" | "tasks";

export interface JobSort {
  key: JobSortKey;
  descending: boolean;
}

/** Jobs whose name, id or state has the text, in order. Equal ones keep the order of the list: newest first. */
export function selectJobs(jobs: readonly JobSummary[], text: string, sort: JobSort, now: number): JobSummary[] {
  const wanted = text.trim().toLowerCase();
  const found = wanted === "" ? [...jobs] : jobs.filter((job) => `${job.name} ${job.jid} ${job.state}`.toLowerCase().includes(wanted));
  const value = (job: JobSummary): string | number => {
    switch (sort.key) {
      case "name": return job.name.toLowerCase();
      case "state": return job.state;
      case "tasks": return job.tasks.total ?? 0;
      case "start-time": return job["start-time"];
      case "duration": return (job["end-time"] > 0 ? job["end-time"] : now) - job["start-time"];
    }
  };
  const direction = sort.descending ? -1 : 1;
  return found.sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    return left === right ? 0 : (left < right ? -1 : 1) * direction;
  });
}
