/** Jobs as a table with a filter; any number of them. */
import { TextInput } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { useMemo, useState } from "react";
import type { JobSummary } from "../../api/types";
import { formatCount, formatRate, plural } from "../../format/numbers";
import { elapsed, formatDateTime, formatDuration } from "../../format/times";
import { type JobSort, type JobSortKey, selectJobs } from "../../live/jobs";
import { Link } from "../../router";
import { Panel, StateBadge } from "../../ui/parts";
import { Notice } from "../../ui/states";
import { useNow } from "../../ui/useNow";
import { type Column, VirtualTable } from "../../ui/VirtualTable";
import type { JobRates } from "./useJobRates";

/** From so many jobs on there is a filter. */
const FILTER_FROM = 6;

interface JobsTableProps {
  title: string;
  jobs: readonly JobSummary[];
  empty: string;
  rates?: JobRates;
  testid: string;
}

export function JobsTable({ title, jobs, empty, rates, testid }: JobsTableProps) {
  const now = useNow();
  const narrow = useMediaQuery("(max-width: 759px)", false, { getInitialValueInEffect: false });
  const [filter, setFilter] = useState("");
  const [sort, setSort] = useState<JobSort>({ key: "start-time", descending: true });
  // Only the order by duration depends on the time.
  const at = sort.key === "duration" ? now : 0;
  const rows = useMemo(() => selectJobs(jobs, filter, sort, at), [jobs, filter, sort, at]);
  const columns = columnsOf(now, rates);
  const onSort = (key: string) =>
    setSort((before) => ({ key: key as JobSortKey, descending: before.key === key ? !before.descending : key !== "name" && key !== "state" }));
  const aside = jobs.length >= FILTER_FROM || filter !== "" ? (
    <>
      <span className="dim small">{filter === "" ? plural(jobs.length, "job") : `${formatCount(rows.length)} of ${plural(jobs.length, "job")}`}</span>
      <TextInput aria-label={`Filter: ${title}`} placeholder="Filter by name, id or state" value={filter} w={220} onChange={(event) => setFilter(event.currentTarget.value)} />
    </>
  ) : <span className="dim small">{plural(jobs.length, "job")}</span>;
  return (
    <Panel title={title} aside={aside} flush testid={testid}>
      {rows.length === 0 ? (
        <Notice title={jobs.length === 0 ? empty : "No job matches the filter"}>
          {jobs.length === 0 && rates !== undefined ? "Drop a bundle on the page Submit, or use millrace run." : undefined}
        </Notice>
      ) : (
        <VirtualTable label={title} className={`jobs ${rates === undefined ? "ended" : ""}`} columns={columns} rows={rows} rowKey={(job) => job.jid}
          rowHeight={narrow ? 64 : 38} rowsMax={narrow ? 7 : 12} sort={sort} onSort={onSort} />
      )}
    </Panel>
  );
}

function columnsOf(now: number, rates: JobRates | undefined): Column<JobSummary>[] {
  const columns: Column<JobSummary>[] = [
    { key: "name", label: "Name", sortable: true, cell: (job) => <Link to={["job", job.jid]} className="ellipsis" title={`${job.name} · ${job.jid}`}>{job.name}</Link> },
    { key: "state", label: "State", sortable: true, cell: (job) => <StateBadge state={job.state} /> },
    { key: "start-time", label: "Started", sortable: true, cell: (job) => <span className="nowrap">{formatDateTime(job["start-time"])}</span> },
    { key: "duration", label: "Duration", sortable: true, numeric: true, cell: (job) => formatDuration(elapsed(job["start-time"], job["end-time"], now)) },
  ];
  if (rates !== undefined) {
    columns.push({ key: "rate", label: "Records/s", numeric: true, cell: (job) => formatRate(rates.byJob.get(job.jid)) });
  }
  columns.push({ key: "tasks", label: "Tasks", sortable: true, cell: (job) => <TaskCounts tasks={job.tasks} /> });
  return columns;
}

/** "4 running · 1 finished": states that some task is in. */
function TaskCounts({ tasks }: { tasks: Record<string, number> }) {
  const parts = Object.entries(tasks).filter(([state, count]) => state !== "total" && count > 0);
  const text = parts.map(([state, count]) => `${count} ${state}`).join(" · ");
  return <span className="ellipsis dim" title={text}>{text === "" ? "–" : text}</span>;
}
