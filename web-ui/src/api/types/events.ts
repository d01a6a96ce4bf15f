/** What server-sent events carry. */
import type { JobSummary } from "./jobs";

/** The first one holds all jobs, later ones what changed. */
export interface JobsEvent {
  jobs: JobSummary[];
  removed?: string[];
}

/** A vertex now. Shares of time from 0 to 1 over all its subtasks; the watermark in milliseconds of event time. */
export interface VertexFigures {
  busy: number;
  backPressured: number;
  idle: number;
  recordsInPerSecond: number;
  recordsOutPerSecond: number;
  bytesInPerSecond: number;
  bytesOutPerSecond: number;
  recordsIn: number;
  recordsOut: number;
  watermark: number | null;
}

export interface FiguresEvent {
  timestamp: number;
  vertices: Record<string, VertexFigures>;
}
