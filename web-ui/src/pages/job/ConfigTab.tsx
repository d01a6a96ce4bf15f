/** How a job was submitted: its restart strategy, arguments, options. */
import { usePath } from "../../api/queries";
import type { JobConfig, JobDetails } from "../../api/types";
import { joinArgs } from "../../format/args";
import { formatDateTime } from "../../format/times";
import { KeyValues, Panel } from "../../ui/parts";
import { Notice, Shown } from "../../ui/states";
import { RescalesPanel } from "./RescalesPanel";

export function ConfigTab({ job }: { job: JobDetails }) {
  const found = usePath<JobConfig>(`/jobs/${job.jid}/config`, { pollMs: false });
  return (
    <Shown of={found} what="Configuration">
      {(config) => {
        const execution = config["execution-config"];
        const args = config["program-args-list"] ?? [];
        const options = Object.entries(execution["user-config"]).filter(([key]) => key !== "program-args").sort(([a], [b]) => (a < b ? -1 : 1));
        return (
          <div className="grid" style={{ "--column": "380px" } as React.CSSProperties}>
            <Panel title="Execution">
              <KeyValues entries={[
                ["Restart strategy", execution["restart-strategy"]],
                ["Parallelism", String(execution["job-parallelism"])],
                ["Scheduler", job.schedulerType.toLowerCase()],
                ["Submitted", formatDateTime(job["start-time"])],
              ]} />
            </Panel>
            <Panel title="Arguments">
              {args.length === 0 ? <Notice title="No arguments" /> : <p className="args">{joinArgs(args)}</p>}
            </Panel>
            <RescalesPanel job={job} />
            <Panel title="Options of this job">
              {options.length === 0
                ? <Notice title="No options of its own">The cluster's apply.</Notice>
                : <KeyValues entries={options.map(([key, value]) => [key, <code key={key}>{value}</code>])} />}
            </Panel>
          </div>
        );
      }}
    </Shown>
  );
}
