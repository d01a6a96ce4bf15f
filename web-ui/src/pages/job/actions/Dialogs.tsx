/** What can be done to a job in one step: cancel, stop with a savepoint, take a savepoint. Each says first what happens. */
import { Checkbox, TextInput } from "@mantine/core";
import { useState } from "react";
import { cancelJob, stopJob, takeSavepoint } from "../../../api/operations";
import type { JobDetails } from "../../../api/types";
import { ConfirmDialog } from "../../../ui/ConfirmDialog";
import { runOperation } from "../../../ui/operation";

export interface DialogProps {
  job: JobDetails;
  opened: boolean;
  onClose: () => void;
}

const FOLDER_HINT = "A folder that all processes reach. Empty: the cluster's execution.checkpointing.savepoint-dir.";

export function CancelDialog({ job, opened, onClose }: DialogProps) {
  const cancel = () => runOperation(
    { going: `Cancelling ${job.name}`, done: `${job.name} is being cancelled`, failed: `${job.name} was not cancelled` },
    () => cancelJob(job.jid),
  );
  return (
    <ConfirmDialog opened={opened} onClose={onClose} title="Cancel the job?" confirm="Cancel the job" danger onConfirm={cancel}>
      <p>All tasks of <strong>{job.name}</strong> end at once, without a savepoint. What was processed since the last checkpoint is not
        committed. Its checkpoints are deleted unless its configuration retains them.</p>
      <p className="dim">To go on later from where it is now, stop it with a savepoint instead.</p>
    </ConfirmDialog>
  );
}

export function StopDialog({ job, opened, onClose }: DialogProps) {
  const [target, setTarget] = useState("");
  const [drain, setDrain] = useState(false);
  const stop = () => runOperation(
    { going: `Stopping ${job.name} with a savepoint`, done: `${job.name} has stopped`, failed: `${job.name} runs on: it was not stopped` },
    () => stopJob(job.jid, target, drain),
    (location) => `Savepoint: ${location}`,
  );
  return (
    <ConfirmDialog opened={opened} onClose={onClose} title="Stop with a savepoint?" confirm="Stop the job" danger onConfirm={stop}>
      <p><strong>{job.name}</strong> takes a savepoint, processes nothing behind it, commits what it covers and finishes. A run from the
        savepoint goes on from there. If the savepoint fails the job runs on.</p>
      <TextInput label="Folder of the savepoint" description={FOLDER_HINT} value={target} onChange={(event) => setTarget(event.currentTarget.value)} />
      <Checkbox label="Drain: first end the sources as if they were read to their end" checked={drain} onChange={(event) => setDrain(event.currentTarget.checked)}
        description="All windows fire and timers run out. Only for jobs that are not to go on." />
    </ConfirmDialog>
  );
}

export function SavepointDialog({ job, opened, onClose }: DialogProps) {
  const [target, setTarget] = useState("");
  const take = () => runOperation(
    { going: `Taking a savepoint of ${job.name}`, done: "The savepoint is complete", failed: "No savepoint was taken" },
    () => takeSavepoint(job.jid, target),
    (location) => location,
  );
  return (
    <ConfirmDialog opened={opened} onClose={onClose} title="Take a savepoint?" confirm="Take the savepoint" onConfirm={take}>
      <p><strong>{job.name}</strong> writes all of its state into a folder of its own and runs on. The savepoint is yours: nobody deletes
        it unasked, and it may be moved.</p>
      <TextInput label="Folder of the savepoint" description={FOLDER_HINT} value={target} onChange={(event) => setTarget(event.currentTarget.value)} />
    </ConfirmDialog>
  );
}
