/** Other code for a running job, out of the bundles that are there or one that is uploaded here. */
import { FileInput, Select } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { keys } from "../../../api/keys";
import { upgradeJob, uploadBundle } from "../../../api/operations";
import { useBundles } from "../../../api/queries";
import type { UpgradeOutcome } from "../../../api/types";
import { formatDateTime } from "../../../format/times";
import { ConfirmDialog } from "../../../ui/ConfirmDialog";
import { runOperation } from "../../../ui/operation";
import type { DialogProps } from "./Dialogs";

export function UpgradeDialog({ job, opened, onClose }: DialogProps) {
  const client = useQueryClient();
  const bundles = useBundles();
  const [bundle, setBundle] = useState<string | null>(null);
  const [file, setFile] = useState<File | null>(null);
  const upgrade = async () => {
    await runOperation(
      { going: `Upgrading ${job.name}`, done: "The upgrade has ended", failed: `${job.name} was not upgraded` },
      async () => upgradeJob(job.jid, file === null ? (bundle ?? "") : await uploadBundle(file)),
      tell,
    );
    await client.invalidateQueries({ queryKey: keys.bundles });
  };
  const choices = (bundles.data?.files ?? []).map((found) => ({ value: found.id, label: `${found.name} · ${formatDateTime(found.uploaded)}` }));
  return (
    <ConfirmDialog opened={opened} onClose={onClose} title="Upgrade the job?" confirm="Upgrade" disabled={bundle === null && file === null} onConfirm={upgrade}>
      <p>The new bundle is planned and tried first; a refusal costs nothing. If its graph differs in code alone, <strong>{job.name}</strong>{" "}
        goes over to it at a barrier: each record is processed by one release, state is kept, tasks do not restart. Otherwise nothing is
        changed, and you are told why it takes a stop with a savepoint and a run from that.</p>
      <Select label="A bundle that is there" placeholder={choices.length === 0 ? "none is uploaded" : "choose a bundle"} data={choices} value={bundle}
        disabled={file !== null} onChange={setBundle} clearable clearButtonProps={{ "aria-label": "Choose none" }} comboboxProps={{ withinPortal: true }} />
      <FileInput size="xs" label="Or one of your files" placeholder="a .mrb file" accept=".mrb,.wasm" value={file} onChange={setFile} clearable clearButtonProps={{ "aria-label": "Take no file" }} />
    </ConfirmDialog>
  );
}

function tell(outcome: UpgradeOutcome): string {
  if (outcome.mode === "barrier") return `The job runs the new code behind checkpoint ${outcome.checkpointId ?? ""}.`;
  return `It takes a restart: stop the job with a savepoint, and run the bundle from that. ${outcome.reason ?? ""}`;
}
