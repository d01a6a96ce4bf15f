/** What pages ask for. Lists that a stream keeps current poll without it; details poll while they are on the page. */
import { useQuery } from "@tanstack/react-query";
import { useClusterPoll } from "../live/useStreams";
import { ApiError, getJson, getText } from "./client";
import { keys } from "./keys";
import type {
  BundleList, CheckpointStatistics, ClusterConfig, ClusterOverview, JobDetails, JobExceptions, JobsOverview, Members,
  TaskManagerDetails, TaskManagerList,
} from "./types";

/** How often details are asked for that no stream brings, in milliseconds. */
const DETAILS_POLL_MS = 3_000;

/** Asking again does not help where something is missing or refused. */
export function shouldRetry(failures: number, error: Error): boolean {
  return error instanceof ApiError && error.status >= 500 && failures < 2;
}

export function useOverview() {
  return useQuery({ queryKey: keys.overview, queryFn: () => getJson<ClusterOverview>("/overview"), refetchInterval: useClusterPoll() });
}

export function useConfig() {
  return useQuery({ queryKey: keys.config, queryFn: () => getJson<ClusterConfig>("/config"), staleTime: 60_000 });
}

export function useJobs() {
  return useQuery({ queryKey: keys.jobs, queryFn: () => getJson<JobsOverview>("/jobs/overview"), refetchInterval: useClusterPoll() });
}

export function useTaskManagers() {
  return useQuery({ queryKey: keys.taskManagers, queryFn: () => getJson<TaskManagerList>("/taskmanagers"), refetchInterval: useClusterPoll() });
}

export function useTaskManager(id: string) {
  return useQuery({
    queryKey: keys.taskManager(id),
    queryFn: () => getJson<TaskManagerDetails>(`/taskmanagers/${encodeURIComponent(id)}`),
    refetchInterval: unlessMissing(DETAILS_POLL_MS),
  });
}

export function useMembers() {
  return useQuery({ queryKey: keys.members, queryFn: () => getJson<Members>("/cluster/members"), refetchInterval: useClusterPoll() });
}

export function useBundles() {
  return useQuery({ queryKey: keys.bundles, queryFn: () => getJson<BundleList>("/jars"), refetchInterval: 10_000 });
}

export function useJob(id: string, pollMs: number | false) {
  return useQuery({ queryKey: keys.job(id), queryFn: () => getJson<JobDetails>(`/jobs/${id}`), refetchInterval: unlessMissing(pollMs) });
}

export function useCheckpoints(id: string, pollMs: number | false) {
  return useQuery({
    queryKey: keys.checkpoints(id),
    queryFn: () => getJson<CheckpointStatistics>(`/jobs/${id}/checkpoints`),
    refetchInterval: unlessMissing(pollMs),
  });
}

export function useExceptions(id: string, pollMs: number | false) {
  return useQuery({
    queryKey: keys.exceptions(id),
    queryFn: () => getJson<JobExceptions>(`/jobs/${id}/exceptions`),
    refetchInterval: unlessMissing(pollMs),
  });
}

interface PathOptions {
  /** How often it is asked for again; `false`: never. */
  pollMs?: number | false;
  enabled?: boolean;
}

/** What the server does not have is not asked for again by itself. */
function unlessMissing(pollMs: number | false) {
  return (query: { state: { error: Error | null } }) =>
    query.state.error instanceof ApiError && query.state.error.isMissing ? false : pollMs;
}

/** Any other path, asked for while it is on the page. */
export function usePath<T>(path: string, { pollMs = DETAILS_POLL_MS, enabled = true }: PathOptions = {}) {
  return useQuery({ queryKey: keys.path(path), queryFn: () => getJson<T>(path), refetchInterval: unlessMissing(pollMs), enabled });
}

export function useText(path: string, { pollMs = DETAILS_POLL_MS, enabled = true }: PathOptions = {}) {
  return useQuery({ queryKey: keys.path(path), queryFn: () => getText(path), refetchInterval: unlessMissing(pollMs), enabled });
}
