/** What a job's tasks log, as it comes; of all vertices or of one. */
import { Select } from "@mantine/core";
import type { JobDetails } from "../../api/types";
import { href, navigate, type Route } from "../../router";
import { LogView } from "../../ui/LogView";
import { Panel } from "../../ui/parts";

export function LogTab({ job, route }: { job: JobDetails; route: Route }) {
  const vertex = route.query.get("vertex");
  const choose = (chosen: string | null) => navigate(href(["job", job.jid, "log"], { vertex: chosen }), true);
  const select = (
    <Select aria-label="Vertex" placeholder="all vertices" data={job.vertices.map(({ id, name }) => ({ value: id, label: name }))} value={vertex} onChange={choose}
      clearable clearButtonProps={{ "aria-label": "All vertices" }} w={260} />
  );
  return (
    <Panel title="Log of the tasks" aside={select} flush>
      <LogView key={vertex} path={`/jobs/${job.jid}/log${vertex === null ? "" : `?vertex=${vertex}`}`} what="The log"
        empty="What operators log, and what the host says of them, appears here." />
    </Panel>
  );
}
