/** `/jobs/:id/rescales`: how a job came to other numbers of tasks. */

export interface Rescale {
  rescaleUuid: string;
  rescaleAttemptId: number;
  startTimestampInMillis: number;
  endTimestampInMillis: number | null;
  terminalState: string | null;
  triggerCause: string;
  terminatedReason: string | null;
}
