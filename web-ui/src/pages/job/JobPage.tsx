/** A job: its header, and a tab for each thing there is to know. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { keys } from "../../api/keys";
import { useCheckpoints, useExceptions, useJob } from "../../api/queries";
import type { JobDetails } from "../../api/types";
import type { FiguresHistory } from "../../live/figures";
import { isTerminal } from "../../live/jobs";
import { POLL_MS, useDerivedFigures, useJobStream } from "../../live/useStreams";
import { href, Link, navigate, type Route } from "../../router";
import { RouteTabs, type Tab, tabOf } from "../../ui/RouteTabs";
import { Shown } from "../../ui/states";
import { usePageTitle } from "../../ui/usePageTitle";
import { CheckpointsTab } from "./checkpoints/CheckpointsTab";
import { ConfigTab } from "./ConfigTab";
import { ExceptionsTab } from "./ExceptionsTab";
import { GraphTab } from "./GraphTab";
import { JobHeader } from "./JobHeader";
import { LogTab } from "./LogTab";
import { TimelineTab } from "./TimelineTab";
import "./job.css";

export default function JobPage({ id, route }: { id: string; route: Route }) {
  const live = useJobStream(id);
  const [ended, setEnded] = useState(false);
  const pollMs = live || ended ? false : POLL_MS;
  const job = useJob(id, pollMs);
  const over = job.data !== undefined && isTerminal(job.data.state);
  if (over !== ended) setEnded(over);
  useDerivedFigures(job.data, live);
  usePageTitle(job.data?.name ?? "Job");
  return (
    <>
      {job.data === undefined && <h1 className="visually-hidden">Job {id}</h1>}
      <Shown of={job} what={`Job ${id}`}>{(found) => <Found job={found} route={route} pollMs={pollMs} />}</Shown>
      {job.data === undefined && job.error !== null && <p className="notice"><Link to={["overview"]}>All jobs</Link></p>}
    </>
  );
}

interface FoundProps {
  job: JobDetails;
  route: Route;
  pollMs: number | false;
}

function Found({ job, route, pollMs }: FoundProps) {
  const history = useQuery<FiguresHistory>({ queryKey: keys.figures(job.jid), queryFn: () => [], enabled: false }).data ?? [];
  const exceptions = useExceptions(job.jid, pollMs);
  const checkpoints = useCheckpoints(job.jid, pollMs);
  const failures = exceptions.data?.exceptionHistory.entries.length ?? 0;
  const tabs: Tab[] = [
    { value: "graph", label: "Graph" },
    { value: "checkpoints", label: "Checkpoints" },
    { value: "exceptions", label: failures === 0 ? "Exceptions" : <>Exceptions <span className="count">{failures}</span></> },
    { value: "log", label: "Log" },
    { value: "configuration", label: "Configuration" },
    { value: "timeline", label: "Timeline" },
  ];
  const tab = tabOf(tabs, route.path[2]);
  return (
    <>
      <JobHeader job={job} />
      <RouteTabs label="Parts of the job" tabs={tabs} value={tab} onChange={(value) => navigate(href(["job", job.jid, value]))}>
        {tab === "graph" && <GraphTab job={job} history={history} route={route} />}
        {tab === "checkpoints" && <CheckpointsTab job={job} statistics={checkpoints} />}
        {tab === "exceptions" && <ExceptionsTab exceptions={exceptions} />}
        {tab === "log" && <LogTab job={job} route={route} />}
        {tab === "configuration" && <ConfigTab job={job} />}
        {tab === "timeline" && <TimelineTab job={job} />}
      </RouteTabs>
    </>
  );
}
