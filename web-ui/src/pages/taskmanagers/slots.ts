/** The slots of a TaskManager, and the colours of their jobs. */
import type { AllocatedSlot, TaskManager } from "../../api/types";

/** For each slot its job, an empty text if that is not known, or null if it is free. Slots of a job stand together. */
export function slotsOf(one: Pick<TaskManager, "slotsNumber" | "freeSlots">, allocated: readonly AllocatedSlot[] | undefined): (string | null)[] {
  const taken = Math.max(0, one.slotsNumber - one.freeSlots);
  const jobs = (allocated ?? []).map((slot) => slot.jobId).sort();
  return Array.from({ length: one.slotsNumber }, (_, at) => (at < jobs.length ? (jobs[at] ?? "") : at < taken ? "" : null));
}

/** A hue for a job that stays the same; the numbers of an id are random. */
export function jobHue(job: string): number {
  if (job === "") return 190;
  return (Number.parseInt(job.slice(0, 6), 16) || 0) % 360;
}
