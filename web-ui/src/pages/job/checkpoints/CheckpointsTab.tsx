/** A job's checkpoints: how many, how long, how large; the newest ones, and each in detail. */
import { Button } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { keys } from "../../../api/keys";
import { takeCheckpoint } from "../../../api/operations";
import { usePath } from "../../../api/queries";
import type { CheckpointConfig, CheckpointStatistics, JobDetails } from "../../../api/types";
import { formatBytes, formatCount } from "../../../format/numbers";
import { formatDateTime, formatDuration } from "../../../format/times";
import { isTerminal } from "../../../live/jobs";
import { runOperation } from "../../../ui/operation";
import { KeyValues, Panel, Stat } from "../../../ui/parts";
import { Notice, Shown } from "../../../ui/states";
import { CheckpointCharts } from "./CheckpointCharts";
import { CheckpointHistory } from "./CheckpointHistory";
import { SummaryTable } from "./SummaryTable";

interface CheckpointsTabProps {
  job: JobDetails;
  statistics: { data: CheckpointStatistics | undefined; error: Error | null; refetch: () => unknown };
}

export function CheckpointsTab({ job, statistics }: CheckpointsTabProps) {
  return <Shown of={statistics} what="Checkpoints">{(found) => <Found job={job} statistics={found} />}</Shown>;
}

function Found({ job, statistics }: { job: JobDetails; statistics: CheckpointStatistics }) {
  const { counts, latest, history } = statistics;
  const client = useQueryClient();
  const take = async () => {
    await runOperation(
      { going: "Taking a checkpoint", done: "The checkpoint is complete", failed: "No checkpoint was taken" },
      () => takeCheckpoint(job.jid),
      (id) => (id === undefined ? "" : `Checkpoint ${id}`),
    );
    await client.invalidateQueries({ queryKey: keys.checkpoints(job.jid) });
  };
  return (
    <div className="stack">
      <div className="row">
        <dl className="stats" style={{ margin: 0, flex: 1 }}>
          <Stat label="Completed">{formatCount(counts.completed)}</Stat>
          <Stat label="In progress">{formatCount(counts.in_progress)}</Stat>
          <Stat label="Failed"><span style={counts.failed > 0 ? { color: "var(--m-bad)" } : undefined}>{formatCount(counts.failed)}</span></Stat>
          <Stat label="Restored">{formatCount(counts.restored)}</Stat>
          <Stat label="Newest took">{formatDuration(latest.completed?.end_to_end_duration)}</Stat>
          <Stat label="Newest state">{formatBytes(latest.completed?.state_size)}</Stat>
        </dl>
      </div>
      {latest.restored !== null && latest.restored !== undefined && (
        <p className="banner tone-info">
          Restored from {latest.restored.is_savepoint ? "savepoint" : "checkpoint"} {latest.restored.id} at {formatDateTime(latest.restored.restore_timestamp)}
          {latest.restored.external_path !== null && <>: <code className="wrap-anywhere">{latest.restored.external_path}</code></>}
        </p>
      )}
      {history.length > 0 && <CheckpointCharts history={history} />}
      <Panel title="History" flush aside={!isTerminal(job.state) && <Button variant="default" disabled={job.state !== "RUNNING"} onClick={() => void take()}>Take a checkpoint</Button>}>
        {history.length === 0
          ? <Notice title="No checkpoints yet">A job takes them if execution.checkpointing.interval is set, or on request.</Notice>
          : <CheckpointHistory job={job} history={history} />}
      </Panel>
      <div className="grid" style={{ "--column": "420px" } as React.CSSProperties}>
        {counts.completed > 0 && <Panel title="Over completed checkpoints" flush><SummaryTable summary={statistics.summary} /></Panel>}
        <Panel title="Settings"><Settings id={job.jid} /></Panel>
      </div>
    </div>
  );
}

function Settings({ id }: { id: string }) {
  const found = usePath<CheckpointConfig>(`/jobs/${id}/checkpoints/config`, { pollMs: false });
  return (
    <Shown of={found} what="Settings">
      {(config) => (
        <KeyValues entries={[
          ["Mode", config.mode.replace("_", " ")],
          ["Interval", config.interval > 0 && config.interval < Number.MAX_SAFE_INTEGER ? formatDuration(config.interval) : "none: on request"],
          ["Timeout", formatDuration(config.timeout)],
          ["Least pause", formatDuration(config.min_pause)],
          ["At the same time", String(config.max_concurrent)],
          ["Unaligned", config.unaligned_checkpoints ? `after ${formatDuration(config.aligned_checkpoint_timeout)}` : "no"],
          ["Failures tolerated", String(config.tolerable_failed_checkpoints)],
          ["State backend", config.state_backend],
          ["Storage", config.checkpoint_storage],
          ["Kept when the job ends", config.externalization.enabled ? (config.externalization.delete_on_cancellation ? "unless cancelled" : "yes") : "no"],
        ]} />
      )}
    </Shown>
  );
}
