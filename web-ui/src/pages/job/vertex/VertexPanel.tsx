/** All there is to know of one vertex, beside the graph. */
import { ActionIcon } from "@mantine/core";
import { lazy, Suspense, useEffect, useRef } from "react";
import type { JobDetails, VertexSummary } from "../../../api/types";
import type { FiguresHistory } from "../../../live/figures";
import { Icon } from "../../../ui/Icon";
import { StateBadge } from "../../../ui/parts";
import { RouteTabs, type Tab, tabOf } from "../../../ui/RouteTabs";
import { Loading } from "../../../ui/states";
import { AccumulatorsPart } from "./AccumulatorsPart";
import { BackpressurePart } from "./BackpressurePart";
import { LoadPart } from "./LoadPart";
import { MetricsPart } from "./MetricsPart";
import { PeekPart } from "./PeekPart";
import { SubtasksPart } from "./SubtasksPart";
import { TaskManagersPart } from "./TaskManagersPart";
import { WatermarksPart } from "./WatermarksPart";
import { VertexLog } from "./VertexLog";

const FlamePart = lazy(() => import("../../../flame/FlamePart"));

const TABS: Tab[] = [
  { value: "load", label: "Load" },
  { value: "subtasks", label: "Subtasks" },
  { value: "flamegraph", label: "Flame graph" },
  { value: "metrics", label: "Metrics" },
  { value: "backpressure", label: "Backpressure" },
  { value: "watermarks", label: "Watermarks" },
  { value: "accumulators", label: "Accumulators" },
  { value: "taskmanagers", label: "TaskManagers" },
  { value: "peek", label: "Peek" },
  { value: "log", label: "Log" },
];

interface VertexPanelProps {
  job: JobDetails;
  vertex: VertexSummary;
  history: FiguresHistory;
  panel: string | null;
  onPanel: (panel: string) => void;
  onClose: () => void;
}

export function VertexPanel({ job, vertex, history, panel, onPanel, onClose }: VertexPanelProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const tab = tabOf(TABS, panel);
  const node = job.plan.nodes.find((found) => found.id === vertex.id);
  // Whoever chose the vertex goes on here; whoever came by a link begins at the top.
  useEffect(() => {
    if (document.activeElement === document.body) return;
    heading.current?.focus({ preventScroll: true });
    heading.current?.scrollIntoView({ block: "nearest" });
  }, []);
  return (
    <section className="panel vertexpanel" aria-label={`Vertex ${vertex.name}`} data-testid="vertex-panel"
      onKeyDown={(event) => event.key === "Escape" && onClose()}>
      <header>
        <h2 ref={heading} tabIndex={-1} className="wrap-anywhere">{vertex.name}</h2>
        <StateBadge state={vertex.status} />
        <ActionIcon variant="subtle" color="gray" aria-label="Close the vertex" onClick={onClose}><Icon name="close" /></ActionIcon>
      </header>
      <RouteTabs label="Parts of the vertex" tabs={TABS} value={tab} onChange={onPanel}>
        {tab === "load" && <LoadPart vertex={vertex} history={history} node={node} />}
        {tab === "subtasks" && <SubtasksPart job={job} vertex={vertex} />}
        {tab === "flamegraph" && <Suspense fallback={<Loading label="Loading the flame graph" />}><FlamePart job={job} vertex={vertex} /></Suspense>}
        {tab === "metrics" && <MetricsPart job={job} vertex={vertex} />}
        {tab === "backpressure" && <BackpressurePart job={job} vertex={vertex} />}
        {tab === "watermarks" && <WatermarksPart job={job} vertex={vertex} />}
        {tab === "accumulators" && <AccumulatorsPart job={job} vertex={vertex} />}
        {tab === "taskmanagers" && <TaskManagersPart job={job} vertex={vertex} />}
        {tab === "peek" && <PeekPart job={job} vertex={vertex} />}
        {tab === "log" && <VertexLog job={job} vertex={vertex} />}
      </RouteTabs>
    </section>
  );
}
