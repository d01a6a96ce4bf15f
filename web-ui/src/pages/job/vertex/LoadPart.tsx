/** How a vertex fares over the last minutes, and the operators of its chain. */
import type { PlanNode, VertexFigures, VertexSummary } from "../../../api/types";
import { formatBytes, formatRate, formatShare } from "../../../format/numbers";
import { formatWatermark } from "../../../format/times";
import { operatorsOf, segmentsOf } from "../../../graph/operators";
import type { FiguresHistory } from "../../../live/figures";
import { Chart } from "../../../ui/chart/Chart";
import { KeyValues } from "../../../ui/parts";

interface LoadPartProps {
  vertex: VertexSummary;
  history: FiguresHistory;
  node: PlanNode | undefined;
}

export function LoadPart({ vertex, history, node }: LoadPartProps) {
  const x = history.map((event) => event.timestamp / 1_000);
  const of = (key: Exclude<keyof VertexFigures, "watermark">) => history.map((event) => event.vertices[vertex.id]?.[key] ?? null);
  const now = history[history.length - 1]?.vertices[vertex.id];
  const bytes = (value: number | null) => (value === null ? "–" : `${formatBytes(value)}/s`);
  const watermarks = history.map((event) => lagOf(event.timestamp, event.vertices[vertex.id]?.watermark));
  return (
    <div className="stack part">
      <Chart title="Time spent" x={x} axis="time" format={formatShare} maxAtLeast={1} series={[
        { label: "busy", color: "busy", values: of("busy"), area: true },
        { label: "backpressured", color: "pressed", values: of("backPressured"), area: true },
        { label: "idle", color: "idle", values: of("idle"), dashed: true },
      ]} />
      <Chart title="Records" x={x} axis="time" format={formatRate} series={[
        { label: "in", color: "dim", values: of("recordsInPerSecond") },
        { label: "out", color: "accent", values: of("recordsOutPerSecond"), area: true },
      ]} />
      <Chart title="Bytes" x={x} axis="time" format={bytes} binary height={100} series={[
        { label: "in", color: "dim", values: of("bytesInPerSecond") },
        { label: "out", color: "accent", values: of("bytesOutPerSecond"), area: true },
      ]} />
      {watermarks.some((lag) => lag !== null) && (
        <Chart title="Watermark behind the clock" x={x} axis="time" format={(value) => (value === null ? "–" : `${value.toFixed(1)} s`)} height={100}
          series={[{ label: "lag", color: "accent", values: watermarks }]} />
      )}
      <KeyValues entries={[
        ["Watermark", formatWatermark(now?.watermark)],
        ["Parallelism", `${vertex.parallelism} of at most ${vertex.maxParallelism}`],
        ["Vertex id", <span key="id" className="mono">{vertex.id}</span>],
      ]} />
      {node !== undefined && <Chain node={node} />}
    </div>
  );
}

/** Seconds that a watermark is behind the clock; null where event time is not about the present. */
function lagOf(at: number, watermark: number | null | undefined): number | null {
  if (watermark === null || watermark === undefined) return null;
  const lag = (at - watermark) / 1_000;
  return Math.abs(lag) > 7 * 86_400 ? null : lag;
}

function Chain({ node }: { node: PlanNode }) {
  return (
    <div>
      <h3>Chain</h3>
      <ol className="chain">
        {segmentsOf(operatorsOf(node)).map((segment, at) => (
          <li key={at} className={segment.fused ? "fused" : ""}>
            {segment.fused && <span className="small dim">fused: one instance, records stay inside</span>}
            {segment.operators.map((operator, index) => (
              <div key={index} className="row">
                <span>{operator.name}</span>
                {operator.kind !== null && <span className="chip">{operator.kind === "wasm" ? (operator.component ?? "Wasm") : "native"}</span>}
                {operator.uid !== null && <span className="mono dim small">{operator.uid}</span>}
              </div>
            ))}
          </li>
        ))}
      </ol>
    </div>
  );
}
