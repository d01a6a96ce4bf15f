/** Streams into the cache of queries. While the page is hidden they are closed: a browser has few connections to give. */
import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useState } from "react";
import { keys } from "../api/keys";
import type {
  CheckpointStatistics, ClusterOverview, FiguresEvent, JobDetails, JobExceptions, JobsEvent, JobsOverview, Members, TaskManagerList,
} from "../api/types";
import { figuresBetween, type FiguresHistory, pushFigures } from "./figures";
import { applyJobs } from "./jobs";
import { reportStreaming } from "./status";
import { openStream, type StreamHandlers } from "./stream";

/** How often is asked where no stream tells, in milliseconds. */
export const POLL_MS = 2_000;

function useVisible(): boolean {
  const [visible, setVisible] = useState(!document.hidden);
  useEffect(() => {
    const changed = () => setVisible(!document.hidden);
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  }, []);
  return visible;
}

function useStream(path: string | null, handlersOf: (client: QueryClient) => StreamHandlers): boolean {
  const client = useQueryClient();
  const visible = useVisible();
  const [live, setLive] = useState(false);
  useEffect(() => {
    if (path === null || !visible || typeof EventSource === "undefined") return undefined;
    return openStream(path, () => handlersOf(client), setLive);
    // The handlers depend on the path alone.
  }, [path, visible, client]);
  return live;
}

function clusterHandlers(client: QueryClient): StreamHandlers {
  let first = true;
  return {
    overview: (body: ClusterOverview) => client.setQueryData(keys.overview, body),
    jobs: (event: JobsEvent) => {
      // The first one holds all jobs.
      const known = first ? undefined : client.getQueryData<JobsOverview>(keys.jobs);
      first = false;
      client.setQueryData<JobsOverview>(keys.jobs, applyJobs(known, event));
    },
    taskmanagers: (body: TaskManagerList) => client.setQueryData(keys.taskManagers, body),
    members: (body: Members) => client.setQueryData(keys.members, body),
  };
}

/** Keeps overview, jobs, TaskManagers and members current. Returns whether the stream does; else queries have to poll. */
export function useClusterStream(): boolean {
  const live = useStream("/events", clusterHandlers);
  useEffect(() => reportStreaming(live), [live]);
  return live;
}

/** Whether the stream of the cluster is live. */
export const ClusterLive = createContext(false);

/** How often a query of the cluster asks by itself. */
export function useClusterPoll(): number | false {
  return useContext(ClusterLive) ? false : POLL_MS;
}

function jobHandlers(id: string): (client: QueryClient) => StreamHandlers {
  return (client) => ({
    job: (body: JobDetails) => client.setQueryData(keys.job(id), body),
    figures: (event: FiguresEvent) => addFigures(client, id, event),
    checkpoints: (body: CheckpointStatistics) => client.setQueryData(keys.checkpoints(id), body),
    exceptions: (body: JobExceptions) => client.setQueryData(keys.exceptions(id), body),
  });
}

function addFigures(client: QueryClient, id: string, event: FiguresEvent): void {
  client.setQueryData<FiguresHistory>(keys.figures(id), (history) => pushFigures(history ?? [], event));
}

/** Keeps a job current: its details, figures, checkpoints and exceptions. Returns whether the stream does. */
export function useJobStream(id: string): boolean {
  return useStream(`/jobs/${id}/events`, jobHandlers(id));
}

/** Works figures out from successive looks at the job, while no stream brings them. */
export function useDerivedFigures(job: JobDetails | undefined, live: boolean): void {
  const client = useQueryClient();
  const [before, setBefore] = useState<JobDetails | undefined>();
  useEffect(() => {
    if (live || job === undefined || job === before) return;
    if (before === undefined || before.jid !== job.jid) {
      setBefore(job);
      return;
    }
    const event = figuresBetween(before, job);
    if (event !== null) {
      addFigures(client, job.jid, event);
      setBefore(job);
    }
  }, [job, before, live, client]);
}
