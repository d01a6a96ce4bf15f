/** The newest checkpoints as a timeline, and their sizes and durations. */
import { useMemo } from "react";
import type { Checkpoint } from "../../../api/types";
import { formatBytes } from "../../../format/numbers";
import { formatDuration, formatTime } from "../../../format/times";
import { Chart } from "../../../ui/chart/Chart";
import { Panel } from "../../../ui/parts";

export function CheckpointCharts({ history }: { history: readonly Checkpoint[] }) {
  const completed = useMemo(() => [...history].reverse().filter((checkpoint) => checkpoint.status === "COMPLETED"), [history]);
  const x = completed.map((checkpoint) => checkpoint.id);
  const of = (key: "end_to_end_duration" | "state_size" | "checkpointed_size") => completed.map((checkpoint) => checkpoint[key]);
  const describe = (id: number) => `checkpoint ${id}`;
  return (
    <div className="grid" style={{ "--column": "320px" } as React.CSSProperties}>
      <Panel title="Timeline"><Timeline history={history} /></Panel>
      <Panel title="Duration and size">
        <div className="stack">
          <Chart title="Duration" x={x} axis="number" format={formatDuration} height={92} describe={describe}
            series={[{ label: "end to end", color: "accent", values: of("end_to_end_duration"), bars: true }]} />
          <Chart title="Size" x={x} axis="number" format={formatBytes} binary height={92} describe={describe} series={[
            { label: "state", color: "dim", values: of("state_size") },
            { label: "written", color: "accent", values: of("checkpointed_size"), bars: true },
          ]} />
        </div>
      </Panel>
    </div>
  );
}

const TONES = { COMPLETED: "ok", IN_PROGRESS: "warn", FAILED: "bad" } as const;

/** Checkpoints in the timeline. */
const SHOWN_MAX = 12;

/** Each checkpoint from its trigger to its end, on one scale. */
function Timeline({ history }: { history: readonly Checkpoint[] }) {
  const shown = history.slice(0, SHOWN_MAX);
  const end = (checkpoint: Checkpoint) =>
    Math.max(checkpoint.failure_timestamp ?? 0, checkpoint.trigger_timestamp + Math.max(0, checkpoint.end_to_end_duration));
  const from = Math.min(...shown.map((checkpoint) => checkpoint.trigger_timestamp));
  const span = Math.max(1, Math.max(...shown.map(end)) - from);
  return (
    <ol className="cptimeline" aria-label="Timeline of checkpoints">
      {shown.map((checkpoint) => (
        <li key={checkpoint.id}>
          <span className="nowrap">{checkpoint.is_savepoint ? "savepoint " : ""}{checkpoint.id}</span>
          <span className="track">
            <span className={`tone-${TONES[checkpoint.status] ?? "mute"}`}
              style={{ left: `${((checkpoint.trigger_timestamp - from) / span) * 100}%`, width: `${((end(checkpoint) - checkpoint.trigger_timestamp) / span) * 100}%` }} />
          </span>
          <span className="dim small nowrap">{formatTime(checkpoint.trigger_timestamp)}</span>
        </li>
      ))}
    </ol>
  );
}
