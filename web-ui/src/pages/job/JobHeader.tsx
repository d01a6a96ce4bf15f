/** A job in short: its name, state, times and tasks, and what can be done to it. */
import { CopyButton } from "@mantine/core";
import type { JobDetails } from "../../api/types";
import { formatCount } from "../../format/numbers";
import { elapsed, formatDateTime, formatDuration } from "../../format/times";
import { isTerminal } from "../../live/jobs";
import { StateBadge } from "../../ui/parts";
import { useNow } from "../../ui/useNow";
import { Actions } from "./actions/Actions";

export function JobHeader({ job }: { job: JobDetails }) {
  const now = useNow();
  const tasks = job.vertices.reduce((sum, vertex) => sum + vertex.parallelism, 0);
  const running = job.vertices.reduce((sum, vertex) => sum + (vertex.tasks.RUNNING ?? 0), 0);
  return (
    <div className="jobhead">
      <div className="pagehead">
        <h1 className="wrap-anywhere">{job.name}</h1>
        <StateBadge state={job.state} testid="job-state" />
        <span className="spread" />
        <Actions job={job} />
      </div>
      <dl className="jobfacts">
        <Fact label="Id">
          <CopyButton value={job.jid}>
            {({ copied, copy }) => (
              <button type="button" className="plainbutton mono" onClick={copy} title="Copy the id">{copied ? "copied" : job.jid}</button>
            )}
          </CopyButton>
        </Fact>
        <Fact label="Started">{formatDateTime(job["start-time"])}</Fact>
        {job["end-time"] > 0 && <Fact label="Ended">{formatDateTime(job["end-time"])}</Fact>}
        <Fact label="Duration">{formatDuration(elapsed(job["start-time"], job["end-time"], now))}</Fact>
        <Fact label="Tasks">{isTerminal(job.state) ? formatCount(tasks) : `${running} of ${tasks} running`}</Fact>
        <Fact label="Scheduler">{job.schedulerType.toLowerCase()}</Fact>
      </dl>
      {job["waiting-for"] !== undefined && <p className="banner tone-warn" role="status">Waiting: {job["waiting-for"]}</p>}
    </div>
  );
}

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}
