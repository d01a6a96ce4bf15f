/** Any metrics that a path lists, each as a chart over the time that one looks at it. */
import { MultiSelect } from "@mantine/core";
import { useEffect, useMemo, useState } from "react";
import { usePath } from "../api/queries";
import type { AggregatedMetric, Metric } from "../api/types";
import { formatBytes, formatShort, toNumber } from "../format/numbers";
import { appendMetrics, defaultMetrics, type MetricHistory } from "../live/metrics";
import { Chart } from "./chart/Chart";
import { Notice, Shown } from "./states";

/** Charts at a time. */
const CHARTS_MAX = 12;

const LOOK_MS = 2_000;

interface MetricChartsProps {
  path: string;
  /** Shown at first, if there are such. */
  wanted: readonly string[];
  /** How values of subtasks become one. */
  aggregation?: "sum" | "avg" | "max" | "min";
  what: string;
}

export function MetricCharts({ path, wanted, aggregation, what }: MetricChartsProps) {
  const names = usePath<Metric[]>(path, { pollMs: false });
  return (
    <Shown of={names} what={what}>
      {(found) => found.length === 0
        ? <Notice title="No metrics yet">Metrics appear once tasks have reported.</Notice>
        : <Charts path={path} names={found.map((metric) => metric.id)} wanted={wanted} aggregation={aggregation} />}
    </Shown>
  );
}

interface ChartsProps {
  path: string;
  names: string[];
  wanted: readonly string[];
  aggregation: "sum" | "avg" | "max" | "min" | undefined;
}

function Charts({ path, names, wanted, aggregation }: ChartsProps) {
  const sorted = useMemo(() => [...new Set(names)].sort(), [names]);
  const [chosen, setChosen] = useState(() => defaultMetrics(sorted, wanted, 6));
  const history = useMetricHistory(path, chosen, aggregation);
  return (
    <div className="stack part">
      <MultiSelect size="xs" label="Metrics" data={sorted} value={chosen} onChange={setChosen} searchable maxValues={CHARTS_MAX} hidePickedOptions limit={200}
        placeholder={chosen.length === 0 ? "choose metrics" : ""} nothingFoundMessage="no such metric" clearButtonProps={{ "aria-label": "Choose none" }} />
      <div className="grid metrics" style={{ "--column": "330px" } as React.CSSProperties}>
        {chosen.map((name) => (
          <Chart key={name} title={name} x={history[name]?.at ?? []} axis="time" format={formatOf(name)} binary={formatOf(name) === formatBytes} height={96}
            series={[{ label: aggregation ?? "now", color: "accent", values: history[name]?.values ?? [], area: true }]} />
        ))}
      </div>
    </div>
  );
}

function useMetricHistory(path: string, chosen: readonly string[], aggregation: ChartsProps["aggregation"]): MetricHistory {
  const query = `?get=${chosen.map(encodeURIComponent).join(",")}${aggregation === undefined ? "" : `&agg=${aggregation}`}`;
  const look = usePath<(Metric & AggregatedMetric)[]>(`${path}${query}`, { pollMs: LOOK_MS, enabled: chosen.length > 0 });
  const [history, setHistory] = useState<MetricHistory>({});
  const { data, dataUpdatedAt } = look;
  useEffect(() => {
    if (data === undefined) return;
    const seen: Record<string, number> = {};
    for (const metric of data) {
      const value = toNumber(aggregation === undefined ? metric.value : metric[aggregation]);
      if (value !== null) seen[metric.id] = value;
    }
    setHistory((before) => appendMetrics(before, dataUpdatedAt / 1_000, seen));
  }, [data, dataUpdatedAt, aggregation]);
  return history;
}

/** What is counted in bytes says so in its name. */
function formatOf(name: string): (value: number | null) => string {
  return /bytes|memory|size/i.test(name) && !/segments|count/i.test(name) ? formatBytes : formatShort;
}
