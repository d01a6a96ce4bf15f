/** Operations that go on after they were asked for: savepoints, stops, upgrades. */

export interface Triggered {
  "request-id": string;
}

export interface FailureCause {
  class: string;
  "stack-trace": string;
}

export interface OperationStatus<T> {
  status: { id: "IN_PROGRESS" | "COMPLETED" };
  operation: T | null;
}

export interface SavepointOutcome {
  location?: string;
  "failure-cause"?: FailureCause;
}

export interface CheckpointOutcome {
  checkpointId?: number;
  failureCause?: FailureCause;
}

export interface UpgradeOutcome {
  /** Either the code was replaced at a barrier, or it takes a savepoint and a restart. */
  mode?: "barrier" | "savepoint-and-restart";
  checkpointId?: number;
  reason?: string;
  failureCause?: FailureCause;
}
