/** Every slot as a square, by TaskManager: coloured by its job, empty if it is free. */
import { useQueries } from "@tanstack/react-query";
import { getJson } from "../../api/client";
import { keys } from "../../api/keys";
import { useJobs } from "../../api/queries";
import type { TaskManager, TaskManagerDetails } from "../../api/types";
import { plural } from "../../format/numbers";
import { Link } from "../../router";
import { Panel } from "../../ui/parts";
import { jobHue, slotsOf } from "./slots";

/** TaskManagers whose slots are looked at one by one; of others only how many are taken is known. */
const DETAILED_MAX = 40;

export function SlotMap({ taskManagers }: { taskManagers: readonly TaskManager[] }) {
  const jobs = useJobs().data?.jobs ?? [];
  const detailed = taskManagers.slice(0, DETAILED_MAX);
  const details = useQueries({
    queries: detailed.map(({ id }) => ({
      queryKey: keys.taskManager(id),
      queryFn: () => getJson<TaskManagerDetails>(`/taskmanagers/${encodeURIComponent(id)}`),
      refetchInterval: 5_000,
    })),
  });
  const names = new Map(jobs.map((job) => [job.jid, job.name]));
  const shown = [...new Set(details.flatMap((found) => found.data?.allocatedSlots.map((slot) => slot.jobId) ?? []))];
  return (
    <Panel title="Slots" testid="slot-map" aside={
      <span className="legend">
        {shown.slice(0, 8).map((job) => <span key={job}><i className="slot-swatch" style={{ "--hue": jobHue(job) } as React.CSSProperties} /> <Link to={["job", job]}>{names.get(job) ?? job.slice(0, 8)}</Link></span>)}
        <span><i className="slot-swatch free" /> free</span>
      </span>
    }>
      <ul className="slotmap">
        {taskManagers.map((one, at) => {
          const slots = slotsOf(one, details[at]?.data?.allocatedSlots);
          return (
            <li key={one.id}>
              <Link to={["taskmanager", one.id]} className="ellipsis small" title={one.id}>{one.id}</Link>
              <span className="slots" role="img" aria-label={`${plural(one.slotsNumber - one.freeSlots, "slot")} of ${one.slotsNumber} in use`}>
                {slots.map((job, slot) => (
                  <span key={slot} className={job === null ? "slot free" : "slot"} title={job === null ? "free" : (names.get(job) ?? job)}
                    style={job === null ? undefined : ({ "--hue": jobHue(job) } as React.CSSProperties)} />
                ))}
              </span>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}
