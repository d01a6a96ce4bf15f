/** The buttons in a job's header. What cannot be done to a job in its state is disabled. */
import { Button } from "@mantine/core";
import { useState } from "react";
import type { JobDetails } from "../../../api/types";
import { isTerminal } from "../../../live/jobs";
import { CancelDialog, type DialogProps, SavepointDialog, StopDialog } from "./Dialogs";
import { RescaleDialog } from "./RescaleDialog";
import { UpgradeDialog } from "./UpgradeDialog";

const ACTIONS: { label: string; danger?: boolean; whileRunning: boolean; Dialog: (props: DialogProps) => React.ReactNode }[] = [
  { label: "Savepoint", whileRunning: true, Dialog: SavepointDialog },
  { label: "Rescale", whileRunning: true, Dialog: RescaleDialog },
  { label: "Upgrade", whileRunning: true, Dialog: UpgradeDialog },
  { label: "Stop", whileRunning: true, Dialog: StopDialog },
  { label: "Cancel", danger: true, whileRunning: false, Dialog: CancelDialog },
];

export function Actions({ job }: { job: JobDetails }) {
  const [open, setOpen] = useState<string | null>(null);
  if (isTerminal(job.state)) return null;
  return (
    <div className="row jobactions" role="group" aria-label="Actions">
      {ACTIONS.map(({ label, danger, whileRunning, Dialog }) => (
        <span key={label}>
          <Button variant={danger ? "outline" : "default"} color={danger ? "danger" : "mill"} disabled={whileRunning && job.state !== "RUNNING"}
            aria-haspopup="dialog" onClick={() => setOpen(label)}>
            {label}
          </Button>
          <Dialog job={job} opened={open === label} onClose={() => setOpen(null)} />
        </span>
      ))}
    </div>
  );
}
