/** Any metric of a vertex over time, summed or averaged over its subtasks; those of the sandbox among them. */
import { SegmentedControl } from "@mantine/core";
import { useState } from "react";
import { MetricCharts } from "../../../ui/MetricCharts";
import { type PartProps, vertexPath } from "./path";

/** What one looks at first. */
const WANTED = [
  "sandbox.cpuTimeMs", "sandbox.linearMemory", "numRecordsInPerSecond", "numRecordsOutPerSecond", "busyTimeMsPerSecond",
  "backPressuredTimeMsPerSecond", "sandbox.traps", "numRecordsIn", "numRecordsOut",
];

type Aggregation = "sum" | "avg" | "max";

export function MetricsPart(props: PartProps) {
  const [aggregation, setAggregation] = useState<Aggregation>("sum");
  return (
    <>
      <div className="partline row">
        <span className="dim small" id="over-subtasks">Over subtasks</span>
        <SegmentedControl size="xs" aria-labelledby="over-subtasks" value={aggregation} onChange={(value) => setAggregation(value as Aggregation)}
          data={[{ value: "sum", label: "sum" }, { value: "avg", label: "average" }, { value: "max", label: "largest" }]} />
      </div>
      <MetricCharts key={aggregation} path={vertexPath(props, "/subtasks/metrics")} wanted={WANTED} aggregation={aggregation} what="Metrics" />
    </>
  );
}
