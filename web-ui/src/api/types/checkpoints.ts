/** `/jobs/:id/checkpoints`. Sizes in bytes, durations in milliseconds. */

/** Flink writes "NaN" where there are no values. */
export type Quantile = number | "NaN";

export interface Spread {
  min: number;
  max: number;
  avg: number;
  p50: Quantile;
  p90: Quantile;
  p95: Quantile;
  p99: Quantile;
  p999: Quantile;
}

export interface VertexCheckpoint {
  id: number;
  status: string;
  latest_ack_timestamp: number;
  checkpointed_size: number;
  state_size: number;
  end_to_end_duration: number;
  processed_data: number;
  persisted_data: number;
  num_subtasks: number;
  num_acknowledged_subtasks: number;
}

export interface Checkpoint extends VertexCheckpoint {
  status: "COMPLETED" | "IN_PROGRESS" | "FAILED";
  is_savepoint: boolean;
  trigger_timestamp: number;
  checkpoint_type: string;
  tasks: Record<string, VertexCheckpoint>;
  external_path?: string | null;
  discarded?: boolean;
  failure_timestamp?: number;
  failure_message?: string | null;
}

export interface RestoredCheckpoint {
  id: number;
  restore_timestamp: number;
  is_savepoint: boolean;
  external_path: string | null;
}

export interface CheckpointStatistics {
  counts: { restored: number; total: number; in_progress: number; completed: number; failed: number };
  summary: {
    checkpointed_size: Spread;
    state_size: Spread;
    end_to_end_duration: Spread;
    processed_data: Spread;
    persisted_data: Spread;
  };
  latest: {
    completed: Checkpoint | null;
    savepoint: Checkpoint | null;
    failed: Checkpoint | null;
    restored: RestoredCheckpoint | null;
  };
  history: Checkpoint[];
}

export interface SubtaskCheckpoint {
  index: number;
  status: string;
  ack_timestamp?: number;
  end_to_end_duration?: number;
  checkpointed_size?: number;
  state_size?: number;
  checkpoint?: { sync: number; async: number };
  alignment?: { processed: number; persisted: number; duration: number };
  start_delay?: number;
  unaligned_checkpoint?: boolean;
}

export interface VertexCheckpointDetails extends VertexCheckpoint {
  subtasks: SubtaskCheckpoint[];
}

export interface CheckpointConfig {
  mode: string;
  interval: number;
  timeout: number;
  min_pause: number;
  max_concurrent: number;
  externalization: { enabled: boolean; delete_on_cancellation: boolean };
  state_backend: string;
  checkpoint_storage: string;
  unaligned_checkpoints: boolean;
  tolerable_failed_checkpoints: number;
  aligned_checkpoint_timeout: number;
}
