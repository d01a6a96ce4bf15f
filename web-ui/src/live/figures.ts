/**
 * What vertices do now, and did in the last minutes. Comes from events; where there are none it is worked out from two
 * successive looks at the job.
 */
import { toNumber } from "../format/numbers";
import type { FiguresEvent, IoFigures, JobDetails, VertexFigures, VertexSummary } from "../api/types";

/** Points kept: ten minutes at one a second. */
export const HISTORY_POINTS_MAX = 600;

/** Two looks that are closer than this say nothing of a rate. */
const GAP_MS_MIN = 500;

export type FiguresHistory = readonly FiguresEvent[];

/** Appends an event. One that is not newer than the last takes its place, so that time never goes back. */
export function pushFigures(history: FiguresHistory, event: FiguresEvent): FiguresHistory {
  const last = history[history.length - 1];
  if (last !== undefined && event.timestamp < last.timestamp) return history;
  const kept = last !== undefined && event.timestamp === last.timestamp ? history.slice(0, -1) : history;
  return [...kept.slice(Math.max(0, kept.length - HISTORY_POINTS_MAX + 1)), event];
}

/** What happened between two looks at a job; null if they are too close, or of a job that does not run. */
export function figuresBetween(before: JobDetails, after: JobDetails): FiguresEvent | null {
  const gapMs = after.now - before.now;
  if (before.jid !== after.jid || gapMs < GAP_MS_MIN) return null;
  const earlier = new Map(before.vertices.map((vertex) => [vertex.id, vertex]));
  const vertices: Record<string, VertexFigures> = {};
  for (const vertex of after.vertices) {
    const past = earlier.get(vertex.id);
    if (past !== undefined) vertices[vertex.id] = vertexBetween(past, vertex, gapMs);
  }
  return { timestamp: after.now, vertices };
}

function vertexBetween(before: VertexSummary, after: VertexSummary, gapMs: number): VertexFigures {
  const running = after.tasks.RUNNING ?? 0;
  const delta = (key: keyof IoFigures) =>
    // Figures begin anew with another attempt.
    Math.max(0, (toNumber(after.metrics[key]) ?? 0) - (toNumber(before.metrics[key]) ?? 0));
  const share = (key: keyof IoFigures) => (running === 0 ? 0 : Math.min(1, delta(key) / (gapMs * running)));
  const rate = (key: keyof IoFigures) => (delta(key) * 1_000) / gapMs;
  return {
    busy: share("accumulated-busy-time"),
    backPressured: share("accumulated-backpressured-time"),
    idle: share("accumulated-idle-time"),
    recordsInPerSecond: rate("read-records"),
    recordsOutPerSecond: rate("write-records"),
    bytesInPerSecond: rate("read-bytes"),
    bytesOutPerSecond: rate("write-bytes"),
    recordsIn: after.metrics["read-records"],
    recordsOut: after.metrics["write-records"],
    watermark: null,
  };
}

/** Records a second that a job takes in: what its sources emit, or read where a source is the whole job. */
export function jobRate(job: JobDetails, figures: FiguresEvent): number {
  const sources = job.plan.nodes.filter((node) => (node.inputs ?? []).length === 0);
  return sources.reduce((sum, node) => {
    const vertex = figures.vertices[node.id];
    return vertex === undefined ? sum : sum + Math.max(vertex.recordsOutPerSecond, vertex.recordsInPerSecond);
  }, 0);
}
