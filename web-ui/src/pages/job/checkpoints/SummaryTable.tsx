/** How sizes and durations of completed checkpoints are spread. */
import type { CheckpointStatistics, Spread } from "../../../api/types";
import { formatBytes, toNumber } from "../../../format/numbers";
import { formatDuration } from "../../../format/times";

const ROWS: { key: keyof CheckpointStatistics["summary"]; label: string; format: (value: number | null) => string }[] = [
  { key: "end_to_end_duration", label: "Duration", format: formatDuration },
  { key: "checkpointed_size", label: "Written", format: formatBytes },
  { key: "state_size", label: "State", format: formatBytes },
  { key: "processed_data", label: "Processed in alignment", format: formatBytes },
  { key: "persisted_data", label: "In flight, persisted", format: formatBytes },
];

const COLUMNS: { key: keyof Spread; label: string }[] = [
  { key: "min", label: "Least" }, { key: "avg", label: "Mean" }, { key: "p50", label: "p50" }, { key: "p99", label: "p99" }, { key: "max", label: "Most" },
];

export function SummaryTable({ summary }: { summary: CheckpointStatistics["summary"] }) {
  return (
    <div className="scroll-x" tabIndex={0} role="group" aria-label="Summary: scrolls">
      <table className="table" aria-label="Over completed checkpoints">
        <thead>
          <tr>
            <th scope="col">Of one</th>
            {COLUMNS.map(({ key, label }) => <th key={key} scope="col" className="num">{label}</th>)}
          </tr>
        </thead>
        <tbody>
          {ROWS.map(({ key, label, format }) => (
            <tr key={key}>
              <th scope="row">{label}</th>
              {COLUMNS.map((column) => <td key={column.key} className="num">{format(toNumber(summary[key]?.[column.key]))}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
