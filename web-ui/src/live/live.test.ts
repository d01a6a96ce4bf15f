import { describe, expect, it } from "vitest";
import type { FiguresEvent, IoFigures, JobDetails, JobSummary } from "../api/types";
import { figuresBetween, HISTORY_POINTS_MAX, jobRate, pushFigures } from "./figures";
import { applyJobs, selectJobs } from "./jobs";

function job(jid: string, start: number, more: Partial<JobSummary> = {}): JobSummary {
  return {
    jid, name: `job ${jid}`, "start-time": start, "end-time": -1, duration: 0, state: "RUNNING",
    "last-modification": start, tasks: { total: 1 }, ...more,
  };
}

describe("the list of jobs", () => {
  const ids = (list: { jobs: JobSummary[] }) => list.jobs.map((entry) => entry.jid);

  it("begins with the first event, newest first", () => {
    expect(ids(applyJobs(undefined, { jobs: [job("a", 1), job("b", 2)] }))).toEqual(["b", "a"]);
  });

  it("takes changes in, and lets go of what was removed", () => {
    const list = applyJobs(undefined, { jobs: [job("a", 1), job("b", 2), job("c", 3)] });
    const next = applyJobs(list, { jobs: [job("a", 1, { state: "FAILED" }), job("d", 4)], removed: ["b"] });
    expect(ids(next)).toEqual(["d", "c", "a"]);
    expect(next.jobs[2]?.state).toBe("FAILED");
    expect(list.jobs[2]?.state).toBe("RUNNING");
  });

  it("is filtered by name, id and state, and sorted either way", () => {
    const jobs = [job("c", 3, { name: "Zeta" }), job("b", 2, { name: "alpha", state: "FAILED", "end-time": 50 }), job("a", 1)];
    expect(selectJobs(jobs, "failed", { key: "start-time", descending: true }, 100).map((found) => found.jid)).toEqual(["b"]);
    expect(selectJobs(jobs, " ALPHA ", { key: "name", descending: false }, 100)).toHaveLength(1);
    expect(selectJobs(jobs, "", { key: "name", descending: false }, 100).map((found) => found.jid)).toEqual(["b", "a", "c"]);
    expect(selectJobs(jobs, "", { key: "duration", descending: true }, 100).map((found) => found.jid)).toEqual(["a", "c", "b"]);
  });
});

const NOTHING: IoFigures = {
  "read-bytes": 0, "read-bytes-complete": true, "write-bytes": 0, "write-bytes-complete": true,
  "read-records": 0, "read-records-complete": true, "write-records": 0, "write-records-complete": true,
  "accumulated-backpressured-time": 0, "accumulated-idle-time": 0, "accumulated-busy-time": 0,
};

function look(now: number, metrics: Partial<IoFigures>, running = 2): JobDetails {
  const vertex = { id: "v", name: "v", parallelism: 2, tasks: { RUNNING: running }, metrics: { ...NOTHING, ...metrics } };
  return { jid: "j", now, vertices: [vertex], plan: { nodes: [{ id: "v" }] } } as unknown as JobDetails;
}

describe("figures", () => {
  it("are what happened between two looks, over all subtasks", () => {
    const before = look(1_000, { "write-records": 100, "accumulated-busy-time": 500 });
    const after = look(3_000, { "write-records": 700, "accumulated-busy-time": 2_500, "accumulated-idle-time": 9_999 });
    const event = figuresBetween(before, after);
    expect(event?.vertices.v).toMatchObject({ recordsOutPerSecond: 300, busy: 0.5, idle: 1, recordsOut: 700 });
    expect(jobRate(after, event as FiguresEvent)).toBe(300);
  });

  it("are never negative where an attempt began anew, and none where nothing runs", () => {
    const event = figuresBetween(look(1_000, { "write-records": 900 }), look(2_000, { "accumulated-busy-time": 5 }, 0));
    expect(event?.vertices.v).toMatchObject({ recordsOutPerSecond: 0, busy: 0 });
  });

  it("need two looks that are apart", () => {
    expect(figuresBetween(look(1_000, {}), look(1_100, {}))).toBeNull();
    expect(figuresBetween(look(1_000, {}), { ...look(3_000, {}), jid: "other" })).toBeNull();
  });

  it("are kept for a while, and time never goes back", () => {
    let history: readonly FiguresEvent[] = [];
    for (let at = 1; at <= HISTORY_POINTS_MAX + 5; at += 1) history = pushFigures(history, { timestamp: at, vertices: {} });
    expect(history).toHaveLength(HISTORY_POINTS_MAX);
    expect(history[0]?.timestamp).toBe(6);
    expect(pushFigures(history, { timestamp: 3, vertices: {} })).toBe(history);
    expect(pushFigures(history, { timestamp: HISTORY_POINTS_MAX + 5, vertices: {} })).toHaveLength(HISTORY_POINTS_MAX);
  });
});
