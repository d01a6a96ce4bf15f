/** What went wrong lately: the newest exceptions of the jobs that changed last. */
import { useQueries } from "@tanstack/react-query";
import { getJson } from "../../api/client";
import type { ExceptionEntry, JobExceptions, JobSummary } from "../../api/types";

/** Jobs that are looked at. */
const JOBS_MAX = 12;

/** Failures that are shown. */
const FAILURES_MAX = 8;

export interface Failure {
  job: JobSummary;
  exception: ExceptionEntry;
}

/** Jobs that may have failed lately: those that ended so, and those that run, the last changed first. */
export function suspects(jobs: readonly JobSummary[]): JobSummary[] {
  const newest = (found: JobSummary[]) => found.sort((a, b) => b["last-modification"] - a["last-modification"]).slice(0, JOBS_MAX / 2);
  const failed = newest(jobs.filter((job) => job.state === "FAILED" || job.state === "FAILING" || job.state === "RESTARTING"));
  return [...failed, ...newest(jobs.filter((job) => job.state === "RUNNING"))];
}

export function useFailures(jobs: readonly JobSummary[]): { failures: Failure[]; loading: boolean; unknown: boolean } {
  const looked = suspects(jobs);
  const found = useQueries({
    queries: looked.map((job) => ({
      // A job that has not changed has no new failure.
      queryKey: ["failures", job.jid, job["last-modification"]],
      queryFn: () => getJson<JobExceptions>(`/jobs/${job.jid}/exceptions`),
      staleTime: Number.POSITIVE_INFINITY,
    })),
  });
  const failures = looked.flatMap((job, index) =>
    (found[index]?.data?.exceptionHistory.entries ?? []).map((exception) => ({ job, exception })));
  failures.sort((a, b) => b.exception.timestamp - a.exception.timestamp);
  return { failures: failures.slice(0, FAILURES_MAX), loading: found.some((look) => look.isPending), unknown: found.some((look) => look.isError) };
}
