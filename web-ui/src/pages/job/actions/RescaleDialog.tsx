/** Another parallelism for a running job, for all of its vertices or each. */
import { NumberInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { keys } from "../../../api/keys";
import { rescaleJob } from "../../../api/operations";
import type { JobDetails, ResourceRequirements } from "../../../api/types";
import { ConfirmDialog } from "../../../ui/ConfirmDialog";
import { runOperation } from "../../../ui/operation";
import type { DialogProps } from "./Dialogs";

/** The parallelism that a vertex is wanted to have. */
function wanted(job: JobDetails): Record<string, number> {
  return Object.fromEntries(job.vertices.map((vertex) => [vertex.id, vertex["desired-parallelism"] ?? vertex.parallelism]));
}

export function RescaleDialog({ job, opened, onClose }: DialogProps) {
  const client = useQueryClient();
  const [chosen, setChosen] = useState<Record<string, number>>({});
  const before = wanted(job);
  const after = { ...before, ...chosen };
  const changed = job.vertices.filter((vertex) => after[vertex.id] !== before[vertex.id]);
  const close = () => {
    setChosen({});
    onClose();
  };
  const rescale = async () => {
    const requirements: ResourceRequirements = Object.fromEntries(
      job.vertices.map((vertex) => [vertex.id, { parallelism: { lowerBound: 1, upperBound: after[vertex.id] ?? 1 } }]),
    );
    await runOperation(
      { going: `Rescaling ${job.name}`, done: `${job.name} rescales`, failed: `${job.name} was not rescaled` },
      () => rescaleJob(job.jid, requirements),
    );
    await client.invalidateQueries({ queryKey: keys.job(job.jid) });
  };
  const largest = (vertex: JobDetails["vertices"][number]) => (vertex.maxParallelism > 0 ? vertex.maxParallelism : 32_768);
  return (
    <ConfirmDialog opened={opened} onClose={close} title="Rescale the job?" confirm="Rescale" disabled={changed.length === 0} onConfirm={rescale}>
      <p>Once there are slots, <strong>{job.name}</strong> takes a checkpoint, its tasks stop, and it goes on from that checkpoint with
        the new numbers. Nothing is lost or processed twice; meanwhile no records flow. With fewer slots than asked for it runs with what
        there is.</p>
      <NumberInput label="All vertices" min={1} max={Math.min(...job.vertices.map(largest))} placeholder="one number for all" allowDecimal={false}
        onChange={(value) => typeof value === "number" && setChosen(Object.fromEntries(job.vertices.map((vertex) => [vertex.id, value])))} />
      <fieldset className="rescale">
        <legend className="dim small">Each vertex</legend>
        {job.vertices.map((vertex) => (
          <NumberInput key={vertex.id} label={vertex.name} description={`now ${vertex.parallelism}, at most ${largest(vertex)}`} min={1} max={largest(vertex)} allowDecimal={false}
            value={after[vertex.id] ?? 1} onChange={(value) => typeof value === "number" && setChosen((others) => ({ ...others, [vertex.id]: value }))} />
        ))}
      </fieldset>
    </ConfirmDialog>
  );
}
