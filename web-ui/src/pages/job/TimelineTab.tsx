/** The states of the job, of its vertices and of their subtasks over time, on one scale. */
import { useQueries } from "@tanstack/react-query";
import { SegmentedControl } from "@mantine/core";
import { useState } from "react";
import { getJson } from "../../api/client";
import { keys } from "../../api/keys";
import type { JobDetails, VertexSubtaskTimes } from "../../api/types";
import { formatDuration, formatTime } from "../../format/times";
import { isTerminal } from "../../live/jobs";
import { Panel } from "../../ui/parts";
import { Failed } from "../../ui/states";
import { useNow } from "../../ui/useNow";
import { type Phase, phasesOf, vertexTimestamps, wordOf, wordsOf } from "./phases";

/** Of graphs with more vertices the times are asked for once. */
const LIVE_VERTICES_MAX = 16;

/** Subtasks that unfold below a vertex. */
const SUBTASKS_MAX = 128;

interface Row {
  key: string;
  label: string;
  depth: 0 | 1 | 2;
  phases: Phase[];
  onToggle?: () => void;
  open?: boolean;
}

export function TimelineTab({ job }: { job: JobDetails }) {
  const over = isTerminal(job.state);
  const clock = useNow();
  const now = over ? job["end-time"] : Math.max(job.now, clock);
  const [open, setOpen] = useState<string | null>(null);
  const [scale, setScale] = useState("life");
  const pollMs = over || job.vertices.length > LIVE_VERTICES_MAX ? false : 3_000;
  const times = useQueries({
    queries: job.vertices.map(({ id }) => {
      const path = `/jobs/${job.jid}/vertices/${id}/subtasktimes`;
      return { queryKey: keys.path(path), queryFn: () => getJson<VertexSubtaskTimes>(path), refetchInterval: pollMs, staleTime: 2_000 };
    }),
  });
  const rows: Row[] = [{ key: "job", label: "Job", depth: 0, phases: phasesOf(job.timestamps, now) }];
  job.vertices.forEach((vertex, at) => {
    const subtasks = times[at]?.data?.subtasks ?? [];
    const unfolded = open === vertex.id;
    rows.push({
      key: vertex.id, label: vertex.name, depth: 1, open: unfolded, onToggle: () => setOpen(unfolded ? null : vertex.id),
      phases: phasesOf(vertexTimestamps(subtasks), now),
    });
    for (const task of unfolded ? subtasks.slice(0, SUBTASKS_MAX) : []) {
      rows.push({ key: `${vertex.id} ${task.subtask}`, label: `subtask ${task.subtask}`, depth: 2, phases: phasesOf(task.timestamps, now) });
    }
  });
  const failed = times.find((look) => look.error !== null)?.error;
  const from = job["start-time"];
  const to = scale === "start" ? startedAt(rows, now) : now;
  const words = wordsOf(rows.flatMap((row) => row.phases.map((phase) => phase.state)));
  return (
    <Panel title="Timeline" aside={
      <>
        <Legend words={words} />
        <SegmentedControl size="xs" aria-label="Scale" value={scale} onChange={setScale} data={[{ value: "life", label: "whole life" }, { value: "start", label: "start" }]} />
      </>
    }>
      {failed != null && <Failed error={failed} what="Times of subtasks" />}
      <Gantt rows={rows} from={from} span={Math.max(1, to - from)} />
      <div className="gantt-scale dim small"><span>{formatTime(from)}</span><span>{scale === "start" ? `${formatDuration(to - from)} later` : formatTime(now)}</span></div>
    </Panel>
  );
}

/** When all that is shown runs, and a little later, so that one sees that it does. */
function startedAt(rows: readonly Row[], now: number): number {
  const running = rows.flatMap((row) => row.phases.filter((phase) => phase.state === "RUNNING").map((phase) => phase.from));
  const first = Math.min(...rows.flatMap((row) => row.phases.map((phase) => phase.from)));
  return running.length === 0 ? now : Math.min(now, Math.max(...running) + (Math.max(...running) - first) * 0.15);
}

function Gantt({ rows, from, span }: { rows: readonly Row[]; from: number; span: number }) {
  const place = (at: number) => Math.min(100, Math.max(0, ((at - from) / span) * 100));
  return (
    <ol className="gantt">
      {rows.map((row) => (
        <li key={row.key} className={`depth-${row.depth}`}>
          <span className="gantt-name">
            {row.onToggle === undefined
              ? <span className="ellipsis">{row.label}</span>
              : <button type="button" className="plainbutton ellipsis" aria-expanded={row.open} title={row.label} onClick={row.onToggle}>{row.label}</button>}
          </span>
          <span className="track" role="img" aria-label={row.phases.map((phase) => `${phase.state.toLowerCase()} ${formatDuration(phase.to - phase.from)}`).join(", ") || "no times"}>
            {row.phases.map((phase) => (
              <span key={phase.state} className={`phase-${wordOf(phase.state)}`} title={`${phase.state} from ${formatTime(phase.from)}, ${formatDuration(phase.to - phase.from)}`}
                style={{ left: `${place(phase.from)}%`, width: `${place(phase.to) - place(phase.from)}%` }} />
            ))}
          </span>
        </li>
      ))}
    </ol>
  );
}

function Legend({ words }: { words: readonly string[] }) {
  return <span className="legend">{words.map((word) => <span key={word}><i className={`phase-${word}`} /> {word}</span>)}</span>;
}
