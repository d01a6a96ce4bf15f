/** `/jobs/:id/vertices/:vertex` and what lies below it. */
import type { ExecutionState, IoFigures } from "./common";

export interface Subtask {
  subtask: number;
  status: ExecutionState;
  attempt: number;
  endpoint: string;
  "start-time": number;
  "end-time": number;
  duration: number;
  metrics: IoFigures;
  "taskmanager-id": string;
  "status-duration": Partial<Record<ExecutionState, number>>;
  "other-concurrent-attempts"?: Subtask[];
}

export interface VertexDetails {
  id: string;
  name: string;
  parallelism: number;
  maxParallelism: number;
  now: number;
  subtasks: Subtask[];
}

export interface SubtaskTimes {
  subtask: number;
  endpoint: string;
  duration: number;
  timestamps: Record<ExecutionState, number>;
}

export interface VertexSubtaskTimes {
  id: string;
  name: string;
  now: number;
  subtasks: SubtaskTimes[];
}

export interface Backpressure {
  status: string;
  backpressureLevel?: "ok" | "low" | "high";
  "end-timestamp"?: number;
  subtasks?: {
    subtask: number;
    backpressureLevel: "ok" | "low" | "high";
    ratio: number;
    idleRatio: number;
    busyRatio: number;
  }[];
}

export interface VertexTaskManagers {
  taskmanagers: {
    endpoint: string;
    status: ExecutionState;
    "start-time": number;
    duration: number;
    metrics: IoFigures;
    "status-counts": Record<ExecutionState, number>;
    "taskmanager-id": string;
  }[];
}

export interface UserAccumulator {
  name: string;
  type: string;
  value: string;
}

export interface SubtaskAccumulators {
  parallelism: number;
  subtasks: { subtask: number; attempt: number; "user-accumulators": UserAccumulator[] }[];
}

export interface VertexAccumulators {
  id: string;
  "user-accumulators": UserAccumulator[];
}

export interface FlameNode {
  name: string;
  value: number;
  children?: FlameNode[];
}

/** `endTimestamp` is negative while there is no sample yet. */
export interface FlameGraphAnswer {
  endTimestamp: number;
  data?: FlameNode;
}

export interface PeekRecord {
  subtask: number;
  timestamp: number | null;
  /** `text`, `json`, `fields` (a list of texts, as JSON), or `bytes` in hexadecimal digits. */
  format: string;
  value: string;
  /** Of bytes what can be read of them. */
  printable?: string;
  /** Of records that have a key apart from their value: its bytes in hexadecimal digits; empty if there is none. */
  key?: string;
  printableKey?: string;
}

export interface PeekAnswer {
  records: PeekRecord[];
  truncated: boolean;
}
