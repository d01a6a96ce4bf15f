/** What failed, newest first: the guest's backtrace, where it ran, and what failed at the same time. */
import { useState } from "react";
import type { ExceptionEntry, JobExceptions } from "../../api/types";
import { formatAgo, formatDateTime } from "../../format/times";
import { Link } from "../../router";
import { Panel } from "../../ui/parts";
import { Notice, Shown } from "../../ui/states";
import { useNow } from "../../ui/useNow";
import { backtraceOf } from "./backtrace";

interface ExceptionsTabProps {
  exceptions: { data: JobExceptions | undefined; error: Error | null; refetch: () => unknown };
}

export function ExceptionsTab({ exceptions }: ExceptionsTabProps) {
  return (
    <Shown of={exceptions} what="Exceptions">
      {({ exceptionHistory: { entries, truncated } }) => {
        const [newest, ...older] = entries;
        if (newest === undefined) return <Panel title="Exceptions"><Notice title="Nothing has failed">Failures of tasks and of the job appear here, with the guest's backtrace.</Notice></Panel>;
        return (
          <div className="stack">
            <Panel title="The newest failure" testid="root-exception"><Entry entry={newest} open /></Panel>
            {older.length > 0 && (
              <Panel title="Before" flush aside={truncated && <span className="dim small">older ones were dropped</span>}>
                <ol className="exceptions">
                  {older.map((entry) => <li key={`${entry.timestamp} ${entry.taskName ?? ""}`}><Entry entry={entry} /></li>)}
                </ol>
              </Panel>
            )}
          </div>
        );
      }}
    </Shown>
  );
}

function Entry({ entry, open = false }: { entry: ExceptionEntry; open?: boolean }) {
  const now = useNow();
  const [shown, setShown] = useState(open);
  const { message, frames, advice } = backtraceOf(entry);
  const concurrent = entry.concurrentExceptions ?? [];
  return (
    <article className="exception">
      <div className="row">
        <span className="badge tone-bad">{entry.exceptionName.split(".").at(-1)}</span>
        <time dateTime={new Date(entry.timestamp).toISOString()}>{formatDateTime(entry.timestamp)}</time>
        <span className="dim small">{formatAgo(entry.timestamp, now)}</span>
        {entry.taskManagerId != null && <Link to={["taskmanager", entry.taskManagerId]} className="small">{entry.taskManagerId}</Link>}
      </div>
      {entry.taskName != null && <p className="dim wrap-anywhere">{entry.taskName}</p>}
      <p className="wrap-anywhere message">{message}</p>
      {advice !== null && <p className="advice"><strong>What to do:</strong> {advice}</p>}
      {frames.length > 0 && (
        <>
          <button type="button" className="plainbutton small" aria-expanded={shown} onClick={() => setShown(!shown)}>
            {shown ? "Hide the backtrace" : `Show the backtrace (${frames.length} frames)`}
          </button>
          {shown && (
            <ol className="backtrace" aria-label="Backtrace, innermost frame first" data-testid="backtrace">
              {frames.map((frame, at) => <li key={at}>{frame.place !== null && <span className="dim">{frame.place} </span>}{frame.name}</li>)}
            </ol>
          )}
        </>
      )}
      {concurrent.length > 0 && (
        <div className="concurrent">
          <h3>At the same time</h3>
          {concurrent.map((other, at) => <Entry key={at} entry={other} />)}
        </div>
      )}
    </article>
  );
}
