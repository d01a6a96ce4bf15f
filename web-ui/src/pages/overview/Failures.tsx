/** Recent failures over all jobs, each with its first line and a link to the whole story. */
import type { JobSummary } from "../../api/types";
import { formatAgo } from "../../format/times";
import { Link } from "../../router";
import { Panel } from "../../ui/parts";
import { Loading, Notice } from "../../ui/states";
import { useNow } from "../../ui/useNow";
import { useFailures } from "./useFailures";

export function Failures({ jobs }: { jobs: readonly JobSummary[] }) {
  const now = useNow();
  const { failures, loading, unknown } = useFailures(jobs);
  return (
    <Panel title="Recent failures" flush testid="failures">
      {failures.length === 0 && (loading ? <Loading label="Loading failures" /> : unknown
        ? <Notice title="Not known">The cluster does not tell which failures there were.</Notice>
        : <Notice title="No failures">Jobs that fail, or restart after a failure, appear here.</Notice>)}
      <ol className="failures">
        {failures.map(({ job, exception }) => (
          <li key={`${job.jid}-${exception.timestamp}-${exception.taskName ?? ""}`}>
            <div className="row">
              <Link to={["job", job.jid, "exceptions"]} className="ellipsis">{job.name}</Link>
              <span className="badge tone-bad">{exception.exceptionName.split(".").at(-1)}</span>
              <span className="dim small nowrap">{formatAgo(exception.timestamp, now)}</span>
            </div>
            <p className="clamp">{firstLine(exception.stacktrace, exception.exceptionName)}</p>
          </li>
        ))}
      </ol>
    </Panel>
  );
}

/** The message without the name that stands before it. */
function firstLine(stacktrace: string, name: string): string {
  const line = stacktrace.split("\n", 1)[0] ?? "";
  return line.startsWith(`${name}: `) ? line.slice(name.length + 2) : line;
}
