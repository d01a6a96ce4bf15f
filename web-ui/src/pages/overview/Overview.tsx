/** The first page: what the cluster has, what runs on it, and what went wrong. */
import { useMemo } from "react";
import type { ClusterOverview, JobSummary } from "../../api/types";
import { useJobs, useOverview } from "../../api/queries";
import { formatCount, formatRate, plural } from "../../format/numbers";
import { isTerminal } from "../../live/jobs";
import { Stat } from "../../ui/parts";
import { Shown } from "../../ui/states";
import { usePageTitle } from "../../ui/usePageTitle";
import { Failures } from "./Failures";
import { JobsTable } from "./JobsTable";
import "./overview.css";
import { type JobRates, useJobRates } from "./useJobRates";

export function Overview() {
  usePageTitle("Overview");
  const jobs = useJobs();
  return (
    <>
      <h1 className="visually-hidden">Overview</h1>
      <Shown of={jobs} what="Jobs">{(list) => <Jobs jobs={list.jobs} />}</Shown>
    </>
  );
}

function Jobs({ jobs }: { jobs: JobSummary[] }) {
  const overview = useOverview();
  const running = useMemo(() => jobs.filter((job) => !isTerminal(job.state)), [jobs]);
  const ended = useMemo(() => jobs.filter((job) => isTerminal(job.state)), [jobs]);
  const rates = useJobRates(running);
  return (
    <div className="stack">
      <Shown of={overview} what="Overview">{(found) => <Figures overview={found} jobs={jobs} running={running.length} rates={rates} />}</Shown>
      <div className="overview">
        <div className="stack">
          <JobsTable title="Running jobs" jobs={running} empty="No job is running" rates={rates} testid="jobs-running" />
          <JobsTable title="Completed jobs" jobs={ended} empty="No job has ended yet" testid="jobs-completed" />
        </div>
        <Failures jobs={jobs} />
      </div>
    </div>
  );
}

interface FiguresProps {
  overview: ClusterOverview;
  jobs: JobSummary[];
  running: number;
  rates: JobRates;
}

function Figures({ overview, jobs, running, rates }: FiguresProps) {
  const [total, free] = [overview["slots-total"], overview["slots-available"]];
  const restarting = jobs.filter((job) => job.state === "RESTARTING" || job.state === "FAILING").length;
  const used = total - free;
  return (
    <dl className="stats" style={{ margin: 0 }}>
      <Stat label="Slots in use" testid="stat-slots" note={
        <span className="bar" style={{ marginTop: 6 }} aria-hidden="true"><span className="busy" style={{ width: `${total === 0 ? 0 : (used / total) * 100}%` }} /></span>
      }>
        {formatCount(used)} <span className="of">of {formatCount(total)}</span>
      </Stat>
      <Stat label="TaskManagers" testid="stat-taskmanagers" note={`${formatCount(free)} slots free`}>{formatCount(overview.taskmanagers)}</Stat>
      <Stat label="Records in" testid="stat-records" busy={rates.total === null} note={rates.rated < running ? `the newest ${rates.rated} of ${plural(running, "job")}` : "from sources, all running jobs"}>
        {formatRate(rates.total)}
      </Stat>
      <Stat label="Running jobs" testid="stat-running" note={restarting > 0 ? `${restarting} restarting` : "none restarting"}>{formatCount(running)}</Stat>
      <Stat label="Finished" testid="stat-finished">{formatCount(overview["jobs-finished"])}</Stat>
      <Stat label="Canceled" testid="stat-cancelled">{formatCount(overview["jobs-cancelled"])}</Stat>
      <Stat label="Failed" testid="stat-failed">
        <span style={overview["jobs-failed"] > 0 ? { color: "var(--m-bad)" } : undefined}>{formatCount(overview["jobs-failed"])}</span>
      </Stat>
    </dl>
  );
}
