/** `/jobs` and what lies below it, but for checkpoints and vertices. */
import type { ExecutionState, IoFigures, JobState } from "./common";

export interface JobSummary {
  jid: string;
  name: string;
  "start-time": number;
  "end-time": number;
  duration: number;
  state: JobState;
  "last-modification": number;
  tasks: Record<string, number>;
}

export interface JobsOverview {
  jobs: JobSummary[];
}

/** What Millrace knows of an operator beyond Flink's plan. */
export interface PlanOperator {
  uid: string;
  name: string;
  kind: "native" | "wasm";
  /** The component that runs it, if one does. */
  component?: string;
  /** Operators of a chain with the same number run fused in one instance. */
  segment: number | null;
}

export interface PlanInput {
  id: string;
  num: number;
  exchange: string;
  ship_strategy: string;
}

export interface PlanNode {
  id: string;
  parallelism: number;
  description: string;
  inputs?: PlanInput[];
  millrace?: { operators: PlanOperator[] };
}

export interface Plan {
  jid: string;
  name: string;
  nodes: PlanNode[];
}

export interface VertexSummary {
  id: string;
  name: string;
  maxParallelism: number;
  parallelism: number;
  /** With the adaptive scheduler: what was asked for. */
  "desired-parallelism"?: number;
  status: ExecutionState;
  "start-time": number;
  "end-time": number;
  duration: number;
  tasks: Record<ExecutionState, number>;
  metrics: IoFigures;
}

export interface JobDetails {
  jid: string;
  name: string;
  state: JobState;
  schedulerType: string;
  "start-time": number;
  "end-time": number;
  duration: number;
  maxParallelism: number;
  now: number;
  timestamps: Record<JobState, number>;
  vertices: VertexSummary[];
  plan: Plan;
  /** What the job waits for, where it waits. */
  "waiting-for"?: string;
}

export interface JobConfig {
  jid: string;
  name: string;
  "execution-config": {
    "restart-strategy": string;
    "job-parallelism": number;
    "object-reuse-mode": boolean;
    "user-config": Record<string, string>;
  };
  "program-args-list"?: string[];
}

export interface ExceptionEntry {
  exceptionName: string;
  stacktrace: string;
  timestamp: number;
  taskName?: string | null;
  endpoint?: string | null;
  taskManagerId?: string | null;
  concurrentExceptions?: ExceptionEntry[];
}

export interface JobExceptions {
  exceptionHistory: { entries: ExceptionEntry[]; truncated: boolean };
}

export interface JobLog {
  log: string;
}

/** What `PUT /jobs/:id/resource-requirements` takes, by vertex. */
export type ResourceRequirements = Record<string, { parallelism: { lowerBound: number; upperBound: number } }>;
