/** The watermark that each subtask has come to. */
import { usePath } from "../../../api/queries";
import type { Metric } from "../../../api/types";
import { toNumber } from "../../../format/numbers";
import { formatWatermark } from "../../../format/times";
import { KeyValues } from "../../../ui/parts";
import { Notice, Shown } from "../../../ui/states";
import { VirtualTable } from "../../../ui/VirtualTable";
import { type PartProps, vertexPath } from "./path";

interface SubtaskWatermark {
  subtask: number;
  watermark: number;
}

export function WatermarksPart(props: PartProps) {
  const found = usePath<Metric[]>(vertexPath(props, "/watermarks"));
  return (
    <Shown of={found} what="Watermarks">
      {(metrics) => {
        const rows = metrics.flatMap(({ id, value }): SubtaskWatermark[] => {
          const watermark = toNumber(value);
          return watermark === null ? [] : [{ subtask: Number.parseInt(id, 10), watermark }];
        }).sort((a, b) => a.subtask - b.subtask);
        if (rows.length === 0) return <Notice title="No watermarks">This vertex receives none: it is a source, or its streams have no event time.</Notice>;
        const least = Math.min(...rows.map((row) => row.watermark));
        return (
          <div className="stack">
            <div className="partline"><KeyValues entries={[["Least of all", formatWatermark(least)], ["Ahead of it at most", lead(rows, least)]]} /></div>
            <VirtualTable label="Watermarks of subtasks" className="watermarks" rowHeight={34} rows={rows} rowKey={(row) => String(row.subtask)}
              columns={[
                { key: "index", label: "#", cell: (row) => row.subtask },
                { key: "watermark", label: "Watermark (UTC)", cell: (row) => formatWatermark(row.watermark) },
              ]} />
          </div>
        );
      }}
    </Shown>
  );
}

function lead(rows: readonly SubtaskWatermark[], least: number): string {
  const most = Math.max(...rows.map((row) => row.watermark));
  return Math.abs(most) > 8e15 || Math.abs(least) > 8e15 ? "–" : `${((most - least) / 1_000).toFixed(1)} s`;
}
