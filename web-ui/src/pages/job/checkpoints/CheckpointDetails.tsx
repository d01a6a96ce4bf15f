/** A checkpoint by vertex, and each vertex by subtask: how long aligned, how long written, how much. */
import { useState } from "react";
import { usePath } from "../../../api/queries";
import type { Checkpoint, JobDetails, SubtaskCheckpoint, VertexCheckpointDetails } from "../../../api/types";
import { formatBytes } from "../../../format/numbers";
import { formatDuration, formatTime } from "../../../format/times";
import { Shown } from "../../../ui/states";
import { VirtualTable } from "../../../ui/VirtualTable";

interface CheckpointDetailsProps {
  job: JobDetails;
  checkpoint: Checkpoint;
}

export function CheckpointDetails({ job, checkpoint }: CheckpointDetailsProps) {
  const path = `/jobs/${job.jid}/checkpoints/details/${checkpoint.id}`;
  const details = usePath<Checkpoint>(path, { pollMs: checkpoint.status === "IN_PROGRESS" ? 1_000 : false });
  const [vertex, setVertex] = useState<string | null>(null);
  const names = new Map(job.vertices.map(({ id, name }) => [id, name]));
  return (
    <div className="stack">
      {checkpoint.external_path != null && <p className="small">Stored in <code className="wrap-anywhere">{checkpoint.external_path}</code></p>}
      {checkpoint.failure_message != null && <pre className="log">{checkpoint.failure_message}</pre>}
      <Shown of={details} what="Details">
        {(found) => (
          <table className="table inner" aria-label={`Checkpoint ${checkpoint.id} by vertex`}>
            <thead>
              <tr><th scope="col">Vertex</th><th scope="col" className="num">Acknowledged</th><th scope="col" className="num">Last at</th><th scope="col" className="num">Duration</th>
                <th scope="col" className="num">Written</th><th scope="col" className="num">State</th><th scope="col" className="num">Aligned: processed</th><th scope="col" className="num">persisted</th></tr>
            </thead>
            <tbody>
              {Object.entries(found.tasks).map(([id, part]) => (
                <tr key={id}>
                  <th scope="row"><button type="button" className="plainbutton" aria-expanded={vertex === id} onClick={() => setVertex(vertex === id ? null : id)}>{names.get(id) ?? id}</button></th>
                  <td className="num">{part.num_acknowledged_subtasks} of {part.num_subtasks}</td>
                  <td className="num">{formatTime(part.latest_ack_timestamp)}</td>
                  <td className="num">{formatDuration(part.end_to_end_duration)}</td>
                  <td className="num">{formatBytes(part.checkpointed_size)}</td>
                  <td className="num">{formatBytes(part.state_size)}</td>
                  <td className="num">{formatBytes(part.processed_data)}</td>
                  <td className="num">{formatBytes(part.persisted_data)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
      {vertex !== null && <Subtasks path={`${path}/subtasks/${vertex}`} name={names.get(vertex) ?? vertex} />}
    </div>
  );
}

function Subtasks({ path, name }: { path: string; name: string }) {
  const details = usePath<VertexCheckpointDetails>(path, { pollMs: false });
  const duration = (key: string, label: string, of: (task: SubtaskCheckpoint) => number | undefined) =>
    ({ key, label, numeric: true, cell: (task: SubtaskCheckpoint) => formatDuration(of(task)) });
  const bytes = (key: string, label: string, of: (task: SubtaskCheckpoint) => number | undefined) =>
    ({ key, label, numeric: true, cell: (task: SubtaskCheckpoint) => formatBytes(of(task)) });
  return (
    <div>
      <h3>Subtasks of {name}</h3>
      <Shown of={details} what="Subtasks">
        {({ subtasks }) => (
          <VirtualTable label={`Checkpoint by subtasks of ${name}`} className="cpsubtasks" rowHeight={32} rowsMax={10} rows={subtasks} rowKey={(task) => String(task.index)}
            columns={[
              { key: "index", label: "#", cell: (task) => task.index },
              { key: "status", label: "State", cell: (task) => task.status.replaceAll("_", " ") + (task.unaligned_checkpoint === true ? ", unaligned" : "") },
              duration("e2e", "End to end", (task) => task.end_to_end_duration),
              duration("delay", "Start delay", (task) => task.start_delay),
              duration("align", "Alignment", (task) => task.alignment?.duration),
              duration("sync", "Sync", (task) => task.checkpoint?.sync),
              duration("async", "Async", (task) => task.checkpoint?.async),
              bytes("written", "Written", (task) => task.checkpointed_size),
              bytes("processed", "Processed", (task) => task.alignment?.processed),
              bytes("persisted", "Persisted", (task) => task.alignment?.persisted),
            ]} />
        )}
      </Shown>
    </div>
  );
}
