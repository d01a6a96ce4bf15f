/** What changes things. Operations that go on after they were accepted are asked about until they have an outcome. */
import { ApiError, getJson, sendForm, sendJson } from "./client";
import type {
  BundleUploaded, CheckpointOutcome, FailureCause, OperationStatus, PlanAnswer, ResourceRequirements, RunRequest, SavepointOutcome,
  Triggered, UpgradeOutcome,
} from "./types";

/** How often an operation is asked about, in milliseconds. */
const ASK_MS = 700;

/** After so long the page says that the operation goes on without it. */
const OPERATION_MS_MAX = 30 * 60_000;

/** Waits for the outcome of an operation; a cluster that cannot be reached for a while is asked again. */
async function outcomeOf<T>(path: string): Promise<T> {
  const deadline = Date.now() + OPERATION_MS_MAX;
  while (Date.now() < deadline) {
    try {
      const { status, operation } = await getJson<OperationStatus<T>>(path);
      if (status.id === "COMPLETED" && operation !== null) return operation;
    } catch (error) {
      if (!(error instanceof ApiError) || (!error.isUnreachable && error.status !== 503)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  }
  throw new ApiError(0, "The operation takes longer than half an hour: the page no longer asks about it.");
}

function refuse(cause: FailureCause | undefined): void {
  if (cause !== undefined) throw new ApiError(409, cause["stack-trace"]);
}

export async function cancelJob(job: string): Promise<void> {
  await sendJson("PATCH", `/jobs/${job}?mode=cancel`);
}

/** An empty folder is left to the cluster's configuration. */
function folder(text: string): string | undefined {
  return text.trim() === "" ? undefined : text.trim();
}

/** Takes a savepoint and lets the job run on; returns where it is. */
export async function takeSavepoint(job: string, target: string): Promise<string> {
  const body = { "target-directory": folder(target), "cancel-job": false };
  const { "request-id": id } = await sendJson<Triggered>("POST", `/jobs/${job}/savepoints`, body);
  return locationOf(await outcomeOf<SavepointOutcome>(`/jobs/${job}/savepoints/${id}`));
}

/** Takes a savepoint and ends the job; returns where it is. */
export async function stopJob(job: string, target: string, drain: boolean): Promise<string> {
  const body = { targetDirectory: folder(target), drain };
  const { "request-id": id } = await sendJson<Triggered>("POST", `/jobs/${job}/stop`, body);
  return locationOf(await outcomeOf<SavepointOutcome>(`/jobs/${job}/savepoints/${id}`));
}

function locationOf(outcome: SavepointOutcome): string {
  refuse(outcome["failure-cause"]);
  return outcome.location ?? "";
}

/** Takes a checkpoint now; returns its id. */
export async function takeCheckpoint(job: string): Promise<number | undefined> {
  const { "request-id": id } = await sendJson<Triggered>("POST", `/jobs/${job}/checkpoints`, {});
  const outcome = await outcomeOf<CheckpointOutcome>(`/jobs/${job}/checkpoints/${id}`);
  refuse(outcome.failureCause);
  return outcome.checkpointId;
}

export async function rescaleJob(job: string, requirements: ResourceRequirements): Promise<void> {
  await sendJson("PUT", `/jobs/${job}/resource-requirements`, requirements);
}

export async function upgradeJob(job: string, bundle: string): Promise<UpgradeOutcome> {
  const { "request-id": id } = await sendJson<Triggered>("POST", `/jobs/${job}/upgrade`, { jarId: bundle });
  const outcome = await outcomeOf<UpgradeOutcome>(`/jobs/${job}/upgrade/${id}`);
  refuse(outcome.failureCause);
  return outcome;
}

/** Uploads a bundle; returns its id. */
export async function uploadBundle(file: File): Promise<string> {
  const form = new FormData();
  form.append("jarfile", file, file.name);
  const { filename } = await sendForm<BundleUploaded>("/jars/upload", form);
  return filename.split("/").at(-1) ?? filename;
}

export async function deleteBundle(bundle: string): Promise<void> {
  await sendJson("DELETE", `/jars/${encodeURIComponent(bundle)}`);
}

export async function planBundle(bundle: string, request: RunRequest): Promise<PlanAnswer> {
  return await sendJson("POST", `/jars/${encodeURIComponent(bundle)}/plan`, request);
}

/** Runs a bundle; returns the job's id. */
export async function runBundle(bundle: string, request: RunRequest): Promise<string> {
  const { jobid } = await sendJson<{ jobid: string }>("POST", `/jars/${encodeURIComponent(bundle)}/run`, request);
  return jobid;
}
