/** How a job was rescaled, newest first; of the adaptive scheduler alone. */
import { usePath } from "../../api/queries";
import type { JobDetails, Rescale } from "../../api/types";
import { formatDateTime, formatDuration } from "../../format/times";
import { Panel } from "../../ui/parts";
import { Notice, Shown } from "../../ui/states";

const TONES: Record<string, string> = { COMPLETED: "ok", FAILED: "bad", IGNORED: "mute" };

export function RescalesPanel({ job }: { job: JobDetails }) {
  const adaptive = job.schedulerType === "Adaptive";
  const found = usePath<Rescale[]>(`/jobs/${job.jid}/rescales/history`, { enabled: adaptive });
  if (!adaptive) {
    return (
      <Panel title="Rescales">
        <Notice title="Its parallelism does not follow the slots">With jobmanager.scheduler=adaptive the job takes more slots when there are, and runs with fewer when it has to.</Notice>
      </Panel>
    );
  }
  return (
    <Panel title="Rescales" flush>
      <Shown of={found} what="Rescales">
        {(rescales) => rescales.length === 0 ? <Notice title="Never rescaled" /> : (
          <div className="scroll-x" tabIndex={0} role="group" aria-label="Rescales: scrolls">
            <table className="table" aria-label="Rescales">
              <thead><tr><th scope="col">Began</th><th scope="col">State</th><th scope="col">Because of</th><th scope="col" className="num">Took</th></tr></thead>
              <tbody>
                {[...rescales].sort((a, b) => b.startTimestampInMillis - a.startTimestampInMillis).map((rescale) => (
                  <tr key={rescale.rescaleUuid}>
                    <th scope="row" className="nowrap">{formatDateTime(rescale.startTimestampInMillis)}</th>
                    <td><span className={`badge tone-${TONES[rescale.terminalState ?? ""] ?? "warn"}`}>{rescale.terminalState ?? "IN PROGRESS"}</span></td>
                    <td>{wordsOf(rescale.triggerCause)}{rescale.terminatedReason !== null && rescale.terminatedReason !== "SUCCEEDED" ? `: ${wordsOf(rescale.terminatedReason)}` : ""}</td>
                    <td className="num">{rescale.endTimestampInMillis === null ? "–" : formatDuration(rescale.endTimestampInMillis - rescale.startTimestampInMillis)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Shown>
    </Panel>
  );
}

/** "UPDATE_REQUIREMENT" → "update requirement". */
function wordsOf(name: string): string {
  return name.replaceAll("_", " ").toLowerCase();
}
