/** Shapes that several answers share. Times are milliseconds since 1970 unless said; -1 stands for "has not come". */

export type ExecutionState =
  | "CREATED" | "SCHEDULED" | "DEPLOYING" | "INITIALIZING" | "RUNNING" | "FINISHED"
  | "CANCELING" | "CANCELED" | "FAILED" | "RECONCILING";

export type JobState =
  | "INITIALIZING" | "CREATED" | "RUNNING" | "FAILING" | "FAILED" | "CANCELLING" | "CANCELED"
  | "FINISHED" | "RESTARTING" | "SUSPENDED" | "RECONCILING";

/** What tasks have read, written and spent their time on. Times in milliseconds. */
export interface IoFigures {
  "read-bytes": number;
  "read-bytes-complete": boolean;
  "write-bytes": number;
  "write-bytes-complete": boolean;
  "read-records": number;
  "read-records-complete": boolean;
  "write-records": number;
  "write-records-complete": boolean;
  "accumulated-backpressured-time": number;
  "accumulated-idle-time": number;
  "accumulated-busy-time": number | "NaN";
}

/** A figure over several subtasks. */
export interface Aggregate {
  min: number;
  max: number;
  avg: number;
  sum: number;
  median: number;
  p25: number;
  p75: number;
  p95: number;
}

/** A metric as `?get=` answers it; without `get` the names alone. */
export interface Metric {
  id: string;
  value?: string;
}

/** A metric over several subtasks, with the aggregations that were asked for. */
export interface AggregatedMetric {
  id: string;
  min?: number;
  max?: number;
  avg?: number;
  sum?: number;
  skew?: number;
}

export interface LogFile {
  name: string;
  size: number;
  mtime?: number;
}

export interface LogList {
  logs: LogFile[];
}

/** Body of every answer that is an error. */
export interface ErrorBody {
  errors: string[];
}
