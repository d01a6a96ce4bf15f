/** How much of its time each subtask was held up, busy or idle. */
import { usePath } from "../../../api/queries";
import type { Backpressure } from "../../../api/types";
import { formatShare } from "../../../format/numbers";
import { formatTime } from "../../../format/times";
import { LoadBar } from "../../../ui/parts";
import { Notice, Shown } from "../../../ui/states";
import { VirtualTable } from "../../../ui/VirtualTable";
import { type PartProps, vertexPath } from "./path";

const TONES = { ok: "ok", low: "warn", high: "bad" } as const;

export function BackpressurePart(props: PartProps) {
  const found = usePath<Backpressure>(vertexPath(props, "/backpressure"));
  return (
    <Shown of={found} what="Backpressure">
      {(backpressure) => backpressure.subtasks === undefined || backpressure.subtasks.length === 0
        ? <Notice title="No sample yet">Samples appear once the tasks run.</Notice>
        : (
          <div className="stack">
            <p className="partline row">
              <Level level={backpressure.backpressureLevel ?? "ok"} /> <span className="dim small">as of {formatTime(backpressure["end-timestamp"])}</span>
            </p>
            <VirtualTable label="Backpressure of subtasks" className="backpressure" rowHeight={36} rows={backpressure.subtasks} rowKey={(task) => String(task.subtask)}
              columns={[
                { key: "index", label: "#", cell: (task) => task.subtask },
                { key: "load", label: "Time spent", cell: (task) => <span className="fill"><LoadBar busy={task.busyRatio} pressed={task.ratio} /></span> },
                { key: "pressed", label: "Backpressured", numeric: true, cell: (task) => formatShare(task.ratio) },
                { key: "busy", label: "Busy", numeric: true, cell: (task) => formatShare(task.busyRatio) },
                { key: "idle", label: "Idle", numeric: true, cell: (task) => formatShare(task.idleRatio) },
                { key: "level", label: "Level", cell: (task) => <Level level={task.backpressureLevel} /> },
              ]} />
          </div>
        )}
    </Shown>
  );
}

function Level({ level }: { level: "ok" | "low" | "high" }) {
  return <span className={`badge tone-${TONES[level]}`}>{level.toUpperCase()}</span>;
}
