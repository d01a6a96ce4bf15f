/**
 * Records a second of running jobs, worked out from successive looks at each. Of many jobs only the newest are looked at, so
 * that the page costs the cluster no more than it is worth.
 */
import { useQueries } from "@tanstack/react-query";
import { useRef } from "react";
import { getJson } from "../../api/client";
import { keys } from "../../api/keys";
import type { JobDetails, JobSummary } from "../../api/types";
import { figuresBetween, jobRate } from "../../live/figures";

/** Jobs that are looked at. */
export const RATED_JOBS_MAX = 20;

const LOOK_MS = 3_000;

/** Between the first two looks, without which there is no rate. */
const FIRST_LOOK_MS = 1_000;

interface Seen {
  job: JobDetails;
  rate: number | null;
}

export interface JobRates {
  /** By job; null until there were two looks. */
  byJob: ReadonlyMap<string, number | null>;
  total: number | null;
  /** How many of the running jobs the total is of. */
  rated: number;
}

export function useJobRates(running: readonly JobSummary[]): JobRates {
  const seen = useRef(new Map<string, Seen>());
  const rated = running.slice(0, RATED_JOBS_MAX);
  const looks = useQueries({
    queries: rated.map((job) => ({
      queryKey: keys.job(job.jid),
      queryFn: () => getJson<JobDetails>(`/jobs/${job.jid}`),
      refetchInterval: () => (typeof seen.current.get(job.jid)?.rate === "number" ? LOOK_MS : FIRST_LOOK_MS),
    })),
  });
  const next = new Map<string, Seen>();
  for (const look of looks) {
    if (look.data === undefined) continue;
    const before = seen.current.get(look.data.jid);
    next.set(look.data.jid, before === undefined ? { job: look.data, rate: null } : lookAgain(before, look.data));
  }
  seen.current = next;
  const byJob = new Map([...next].map(([id, { rate }]) => [id, rate]));
  const known = [...byJob.values()].filter((rate) => rate !== null);
  const total = known.length > 0 ? known.reduce((sum, rate) => sum + rate, 0) : rated.length === 0 ? 0 : null;
  return { byJob, total, rated: rated.length };
}

function lookAgain(before: Seen, job: JobDetails): Seen {
  if (before.job === job) return before;
  const figures = figuresBetween(before.job, job);
  return figures === null ? before : { job, rate: jobRate(job, figures) };
}
