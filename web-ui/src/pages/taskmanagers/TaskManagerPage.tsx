/** One TaskManager: what it has, what runs in its slots, its metrics over time and its log. */
import { useJobs, useTaskManager } from "../../api/queries";
import type { AllocatedSlot, TaskManagerDetails } from "../../api/types";
import { formatBytes, formatCount, plural } from "../../format/numbers";
import { formatAgo } from "../../format/times";
import { href, Link, navigate, type Route } from "../../router";
import { LogFiles } from "../../ui/LogFiles";
import { MetricCharts } from "../../ui/MetricCharts";
import { KeyValues, Meter, Panel } from "../../ui/parts";
import { RouteTabs, type Tab, tabOf } from "../../ui/RouteTabs";
import { Notice, Shown } from "../../ui/states";
import { useNow } from "../../ui/useNow";
import { usePageTitle } from "../../ui/usePageTitle";
import "./taskmanagers.css";

const TABS: Tab[] = [{ value: "overview", label: "Overview" }, { value: "metrics", label: "Metrics" }, { value: "log", label: "Log" }];

/** What one looks at first. */
const WANTED = [
  "Status.JVM.CPU.Load", "Status.JVM.Memory.Heap.Used", "Status.Shuffle.Netty.UsedMemory", "Status.Shuffle.Netty.UsedMemorySegments",
  "Status.JVM.FileDescriptor.Open", "Status.JVM.Threads.Count", "Status.Millrace.Connections",
];

export default function TaskManagerPage({ id, route }: { id: string; route: Route }) {
  usePageTitle(`TaskManager ${id}`);
  const found = useTaskManager(id);
  const tab = tabOf(TABS, route.path[2]);
  const path = `/taskmanagers/${encodeURIComponent(id)}`;
  return (
    <>
      <div className="pagehead">
        <h1 className="wrap-anywhere">{id}</h1>
        <Link to={["taskmanagers"]} className="small">All TaskManagers</Link>
      </div>
      <RouteTabs label="Parts of the TaskManager" tabs={TABS} value={tab} onChange={(value) => navigate(href(["taskmanager", id, value]))}>
        {tab === "overview" && <Shown of={found} what={`TaskManager ${id}`}>{(details) => <Details details={details} />}</Shown>}
        {tab === "metrics" && <Panel title="Metrics" flush><MetricCharts path={`${path}/metrics`} wanted={WANTED} what="Metrics" /></Panel>}
        {tab === "log" && <LogFiles path={path} />}
      </RouteTabs>
    </>
  );
}

function Details({ details }: { details: TaskManagerDetails }) {
  const now = useNow();
  const { hardware, metrics, slotsNumber, freeSlots } = details;
  const used = hardware.physicalMemory - hardware.freeMemory;
  const share = (part: number, whole: number) => (whole > 0 ? part / whole : 0);
  const of = (part: number, whole: number) => `${formatBytes(part)} of ${formatBytes(whole)}`;
  return (
    <div className="grid" style={{ "--column": "340px" } as React.CSSProperties}>
      <Panel title="Resources">
        <div className="stack">
          <Meter label="Slots in use" share={share(slotsNumber - freeSlots, slotsNumber)} text={`${slotsNumber - freeSlots} of ${slotsNumber}`} />
          <Meter label="Memory in use" share={share(used, hardware.physicalMemory)} text={of(used, hardware.physicalMemory)} />
          {metrics.heapMax > 0 && <Meter label="Memory of the process" share={share(metrics.heapUsed, metrics.heapMax)} text={of(metrics.heapUsed, metrics.heapMax)} />}
          {metrics.nettyShuffleMemorySegmentsTotal > 0 && (
            <Meter label="Network buffers in use" share={share(metrics.nettyShuffleMemorySegmentsUsed, metrics.nettyShuffleMemorySegmentsTotal)}
              text={`${formatCount(metrics.nettyShuffleMemorySegmentsUsed)} of ${formatCount(metrics.nettyShuffleMemorySegmentsTotal)}, ${of(metrics.nettyShuffleMemoryUsed, metrics.nettyShuffleMemoryTotal)}`} />
          )}
        </div>
      </Panel>
      <Panel title="Process">
        <KeyValues entries={[
          ["Path", details.path],
          ["Port for records", details.dataPort > 0 ? String(details.dataPort) : "none: all in one process"],
          ["Cores", String(hardware.cpuCores)],
          ["Tasks", formatCount(details.assignedTasks)],
          ["Last heartbeat", formatAgo(details.timeSinceLastHeartbeat, now)],
        ]} />
      </Panel>
      <Panel title="Slots in use" flush>{details.allocatedSlots.length === 0 ? <Notice title="All slots are free" /> : <Slots slots={details.allocatedSlots} />}</Panel>
    </div>
  );
}

function Slots({ slots }: { slots: readonly AllocatedSlot[] }) {
  const names = new Map((useJobs().data?.jobs ?? []).map((job) => [job.jid, job.name]));
  return (
    <table className="table" aria-label="Slots in use">
      <thead><tr><th scope="col">Job</th><th scope="col" className="num">Tasks</th><th scope="col" className="num">Memory</th></tr></thead>
      <tbody>
        {slots.map((slot, at) => (
          <tr key={at}>
            <th scope="row"><Link to={["job", slot.jobId]} className="wrap-anywhere">{names.get(slot.jobId) ?? slot.jobId}</Link></th>
            <td className="num">{plural(slot.assignedTasks, "task")}</td>
            <td className="num">{formatBytes(slot.resource.taskHeapMemory * 1024 ** 2)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
