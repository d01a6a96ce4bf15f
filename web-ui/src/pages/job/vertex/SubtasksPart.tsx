/** The subtasks of a vertex: where they run, how they fare, which attempt they are. Any number of them. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { getJson } from "../../../api/client";
import { keys } from "../../../api/keys";
import { usePath } from "../../../api/queries";
import type { Subtask, VertexDetails } from "../../../api/types";
import { formatBytes, formatCount, formatShort, plural } from "../../../format/numbers";
import { formatDateTime, formatDuration } from "../../../format/times";
import { Link } from "../../../router";
import { KeyValues, StateBadge } from "../../../ui/parts";
import { Failed, Loading, Shown } from "../../../ui/states";
import { type Column, VirtualTable } from "../../../ui/VirtualTable";
import { type PartProps, vertexPath } from "./path";

export function SubtasksPart(props: PartProps) {
  const details = usePath<VertexDetails>(vertexPath(props));
  const [chosen, setChosen] = useState<number | null>(null);
  const columns: Column<Subtask>[] = [
    { key: "index", label: "#", cell: (task) => <button type="button" className="plainbutton" aria-expanded={chosen === task.subtask} aria-label={`Subtask ${task.subtask}`} onClick={() => setChosen(chosen === task.subtask ? null : task.subtask)}>{task.subtask}</button> },
    { key: "state", label: "State", cell: (task) => <StateBadge state={task.status} /> },
    { key: "attempt", label: "Attempt", numeric: true, cell: (task) => task.attempt },
    { key: "in", label: "Records in", numeric: true, cell: (task) => formatShort(task.metrics["read-records"]) },
    { key: "out", label: "Records out", numeric: true, cell: (task) => formatShort(task.metrics["write-records"]) },
    { key: "duration", label: "Duration", numeric: true, cell: (task) => formatDuration(task.duration) },
  ];
  return (
    <Shown of={details} what="Subtasks">
      {(found) => (
        <div className="stack">
          <p className="dim small partline">{plural(found.subtasks.length, "subtask")}; choose one for its attempts.</p>
          <VirtualTable label="Subtasks" className="subtasks" columns={columns} rows={found.subtasks} rowKey={(task) => String(task.subtask)} rowHeight={36} rowsMax={12} />
          {chosen !== null && found.subtasks[chosen] !== undefined && <OneSubtask {...props} task={found.subtasks[chosen]} />}
        </div>
      )}
    </Shown>
  );
}

function OneSubtask({ task, ...props }: PartProps & { task: Subtask }) {
  const spent = Object.entries(task["status-duration"] ?? {}).filter(([, ms]) => (ms ?? 0) > 0);
  return (
    <div className="stack part">
      <h3>Subtask {task.subtask}</h3>
      <KeyValues entries={[
        ["TaskManager", <Link key="tm" to={["taskmanager", task["taskmanager-id"]]}>{task["taskmanager-id"]}</Link>],
        ["Endpoint", task.endpoint],
        ["Started", formatDateTime(task["start-time"])],
        ["Read", `${formatCount(task.metrics["read-records"])} records, ${formatBytes(task.metrics["read-bytes"])}`],
        ["Written", `${formatCount(task.metrics["write-records"])} records, ${formatBytes(task.metrics["write-bytes"])}`],
        ["Time in states", spent.map(([state, ms]) => `${state.toLowerCase()} ${formatDuration(ms)}`).join(", ")],
      ]} />
      <Attempts {...props} task={task} />
    </div>
  );
}

/** Earlier attempts are asked for one by one, the newest first. */
const ATTEMPTS_MAX = 8;

function Attempts({ task, ...props }: PartProps & { task: Subtask }) {
  const first = Math.max(0, task.attempt - ATTEMPTS_MAX + 1);
  const numbers = Array.from({ length: task.attempt - first + 1 }, (_, at) => task.attempt - at);
  const path = vertexPath(props, `/subtasks/${task.subtask}/attempts`);
  const attempts = useQuery({
    queryKey: keys.path(`${path}/${task.attempt}`),
    queryFn: () => Promise.all(numbers.map((number) => getJson<Subtask>(`${path}/${number}`))),
  });
  if (attempts.error !== null) return <Failed error={attempts.error} what="Attempts" />;
  if (attempts.data === undefined) return <Loading label="Loading attempts" lines={2} />;
  return (
    <table className="table" aria-label="Attempts">
      <thead><tr><th scope="col">Attempt</th><th scope="col">State</th><th scope="col">TaskManager</th><th scope="col" className="num">Duration</th></tr></thead>
      <tbody>
        {attempts.data.map((attempt) => (
          <tr key={attempt.attempt}>
            <th scope="row">{attempt.attempt}</th>
            <td><StateBadge state={attempt.status} /></td>
            <td className="wrap-anywhere">{attempt["taskmanager-id"]}</td>
            <td className="num">{formatDuration(attempt.duration)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
