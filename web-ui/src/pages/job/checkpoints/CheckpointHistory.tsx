/** The newest checkpoints in a table; one that is chosen unfolds. */
import { useState } from "react";
import type { Checkpoint, JobDetails } from "../../../api/types";
import { formatBytes } from "../../../format/numbers";
import { formatDateTime, formatDuration } from "../../../format/times";
import { Icon } from "../../../ui/Icon";
import { CheckpointDetails } from "./CheckpointDetails";

const TONES = { COMPLETED: "ok", IN_PROGRESS: "warn", FAILED: "bad" } as const;

/** "UNALIGNED_CHECKPOINT" → "unaligned checkpoint". */
function kindOf(checkpoint: Checkpoint): string {
  return (checkpoint.checkpoint_type || (checkpoint.is_savepoint ? "SAVEPOINT" : "CHECKPOINT")).replaceAll("_", " ").toLowerCase();
}

export function CheckpointHistory({ job, history }: { job: JobDetails; history: readonly Checkpoint[] }) {
  const [chosen, setChosen] = useState<number | null>(null);
  return (
    <div className="scroll-x" tabIndex={0} role="group" aria-label="History: scrolls">
      <table className="table" aria-label="Checkpoints">
        <thead>
          <tr>
            <th scope="col">Id</th>
            <th scope="col">State</th>
            <th scope="col">Kind</th>
            <th scope="col">Triggered</th>
            <th scope="col" className="num">Duration</th>
            <th scope="col" className="num">Written</th>
            <th scope="col" className="num">State size</th>
            <th scope="col" className="num">Acknowledged</th>
          </tr>
        </thead>
        <tbody>
          {history.map((checkpoint) => (
            <Row key={checkpoint.id} job={job} checkpoint={checkpoint} chosen={chosen === checkpoint.id}
              onChoose={() => setChosen(chosen === checkpoint.id ? null : checkpoint.id)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  job: JobDetails;
  checkpoint: Checkpoint;
  chosen: boolean;
  onChoose: () => void;
}

function Row({ job, checkpoint, chosen, onChoose }: RowProps) {
  return (
    <>
      <tr data-testid={`checkpoint-${checkpoint.id}`}>
        <th scope="row">
          <button type="button" className="plainbutton nowrap" aria-expanded={chosen} onClick={onChoose}>
            <Icon name={chosen ? "up" : "down"} size={12} /> {checkpoint.id}
          </button>
        </th>
        <td><span className={`badge tone-${TONES[checkpoint.status] ?? "mute"}`}>{checkpoint.status.replace("_", " ")}</span></td>
        <td className="nowrap">{kindOf(checkpoint)}{checkpoint.discarded === true && <span className="dim small"> · deleted</span>}</td>
        <td className="nowrap">{formatDateTime(checkpoint.trigger_timestamp)}</td>
        <td className="num">{formatDuration(checkpoint.end_to_end_duration)}</td>
        <td className="num">{formatBytes(checkpoint.checkpointed_size)}</td>
        <td className="num">{formatBytes(checkpoint.state_size)}</td>
        <td className="num">{checkpoint.num_acknowledged_subtasks} of {checkpoint.num_subtasks}</td>
      </tr>
      {chosen && (
        <tr className="unfolded">
          <td colSpan={8}><CheckpointDetails job={job} checkpoint={checkpoint} /></td>
        </tr>
      )}
    </>
  );
}
