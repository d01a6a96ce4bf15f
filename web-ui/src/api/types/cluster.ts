/** `/overview`, `/config`, `/taskmanagers`, `/jobmanager` and the group of JobManagers. */

export interface ClusterOverview {
  taskmanagers: number;
  "slots-total": number;
  "slots-available": number;
  "jobs-running": number;
  "jobs-finished": number;
  "jobs-cancelled": number;
  "jobs-failed": number;
  "flink-version": string;
  "flink-commit": string;
}

export interface ClusterConfig {
  "refresh-interval": number;
  "flink-version": string;
  "flink-revision": string;
  features: { "web-submit": boolean; "web-cancel": boolean; "web-rescale": boolean; "web-history": boolean };
}

/** Memory in MiB. */
export interface Resource {
  cpuCores: number;
  taskHeapMemory: number;
  taskOffHeapMemory: number;
  managedMemory: number;
  networkMemory: number;
}

/** Memory in bytes. */
export interface TaskManager {
  id: string;
  path: string;
  dataPort: number;
  timeSinceLastHeartbeat: number;
  slotsNumber: number;
  freeSlots: number;
  assignedTasks: number;
  totalResource: Resource;
  freeResource: Resource;
  hardware: { cpuCores: number; physicalMemory: number; freeMemory: number; managedMemory: number };
  memoryConfiguration: Record<string, number>;
}

export interface TaskManagerList {
  taskmanagers: TaskManager[];
}

export interface AllocatedSlot {
  jobId: string;
  resource: Resource;
  assignedTasks: number;
}

export interface TaskManagerDetails extends TaskManager {
  allocatedSlots: AllocatedSlot[];
  metrics: {
    heapUsed: number;
    heapMax: number;
    nettyShuffleMemorySegmentsAvailable: number;
    nettyShuffleMemorySegmentsUsed: number;
    nettyShuffleMemorySegmentsTotal: number;
    nettyShuffleMemoryUsed: number;
    nettyShuffleMemoryTotal: number;
  };
}

/** A member of the group of JobManagers. */
export interface Member {
  id: number;
  rpc: string;
  rest: string;
  role: "leader" | "voter" | "learner";
  lag: number | null;
  "last-answer-ms": number | null;
  reachable: boolean | null;
}

export interface Members {
  "answered-by": number;
  leader: number | null;
  term: number;
  "last-log-index": number | null;
  "applied-index": number | null;
  members: Member[];
}

/** An entry of `/jobmanager/config` and of `/jobs/:id/jobmanager/config`. */
export interface ConfigEntry {
  key: string;
  value: string;
}
