/** All TaskManagers: their slots as a map, and each in a row. */
import { useTaskManagers } from "../../api/queries";
import type { TaskManager } from "../../api/types";
import { formatBytes, formatCount, formatShare } from "../../format/numbers";
import { formatAgo } from "../../format/times";
import { Link } from "../../router";
import { Panel, Stat } from "../../ui/parts";
import { Notice, Shown } from "../../ui/states";
import { useNow } from "../../ui/useNow";
import { usePageTitle } from "../../ui/usePageTitle";
import { type Column, VirtualTable } from "../../ui/VirtualTable";
import { SlotMap } from "./SlotMap";
import "./taskmanagers.css";

export default function TaskManagersPage() {
  usePageTitle("TaskManagers");
  const found = useTaskManagers();
  return (
    <>
      <div className="pagehead"><h1>TaskManagers</h1></div>
      <Shown of={found} what="TaskManagers">
        {({ taskmanagers }) => taskmanagers.length === 0
          ? <Panel title="TaskManagers"><Notice title="No TaskManager has registered">Start one: millrace taskmanager --jobmanager HOST:PORT. Jobs wait for slots meanwhile.</Notice></Panel>
          : <All taskManagers={taskmanagers} />}
      </Shown>
    </>
  );
}

function sum(taskManagers: readonly TaskManager[], of: (one: TaskManager) => number): number {
  return taskManagers.reduce((total, one) => total + of(one), 0);
}

function All({ taskManagers }: { taskManagers: readonly TaskManager[] }) {
  const now = useNow();
  const slots = sum(taskManagers, (one) => one.slotsNumber);
  const free = sum(taskManagers, (one) => one.freeSlots);
  const memory = sum(taskManagers, (one) => one.hardware.physicalMemory);
  const available = sum(taskManagers, (one) => one.hardware.freeMemory);
  const columns: Column<TaskManager>[] = [
    { key: "id", label: "Id", cell: (one) => <Link to={["taskmanager", one.id]} className="ellipsis" title={one.path}>{one.id}</Link> },
    { key: "slots", label: "Slots in use", numeric: true, cell: (one) => `${one.slotsNumber - one.freeSlots} of ${one.slotsNumber}` },
    { key: "tasks", label: "Tasks", numeric: true, cell: (one) => formatCount(one.assignedTasks) },
    { key: "cpu", label: "Cores", numeric: true, cell: (one) => one.hardware.cpuCores },
    { key: "memory", label: "Memory free", numeric: true, cell: (one) => `${formatBytes(one.hardware.freeMemory)} of ${formatBytes(one.hardware.physicalMemory)}` },
    { key: "heartbeat", label: "Last heartbeat", numeric: true, cell: (one) => <Heartbeat at={one.timeSinceLastHeartbeat} now={now} /> },
  ];
  return (
    <div className="stack">
      <dl className="stats" style={{ margin: 0 }}>
        <Stat label="TaskManagers">{formatCount(taskManagers.length)}</Stat>
        <Stat label="Slots in use">{formatCount(slots - free)} <span className="dim" style={{ fontSize: "0.875rem", fontWeight: 400 }}>of {formatCount(slots)}</span></Stat>
        <Stat label="Tasks">{formatCount(sum(taskManagers, (one) => one.assignedTasks))}</Stat>
        <Stat label="Cores">{formatCount(sum(taskManagers, (one) => one.hardware.cpuCores))}</Stat>
        <Stat label="Memory free" note={`of ${formatBytes(memory)}, ${formatShare(memory === 0 ? 0 : available / memory)}`}>{formatBytes(available)}</Stat>
      </dl>
      <SlotMap taskManagers={taskManagers} />
      <Panel title="All TaskManagers" flush>
        <VirtualTable label="TaskManagers" className="taskmanagers" columns={columns} rows={taskManagers} rowKey={(one) => one.id} rowHeight={38} rowsMax={16} />
      </Panel>
    </div>
  );
}

/** Beyond this it is worth a look. */
const LATE_MS = 10_000;

function Heartbeat({ at, now }: { at: number; now: number }) {
  return <span style={now - at > LATE_MS ? { color: "var(--m-warn)" } : undefined}>{formatAgo(at, now)}</span>;
}
