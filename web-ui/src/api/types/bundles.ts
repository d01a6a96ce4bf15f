/** Bundles: Flink's `/jars`. */
import type { Plan } from "./jobs";

export interface Bundle {
  id: string;
  name: string;
  uploaded: number;
  entry: { name: string; description: string | null }[];
}

export interface BundleList {
  address: string;
  files: Bundle[];
}

export interface BundleUploaded {
  filename: string;
  status: string;
}

export interface Manifest {
  name: string;
  version: string;
  sdk: string | null;
  entries: { name: string; description?: string | null }[];
  capabilities: string[];
  /** What it says of its runs. */
  options: Record<string, string>;
  /** Its Wasm components; `null`: the cluster's default. */
  components?: Record<string, { digest: string; "memory-bytes": number | null; "call-deadline-ms": number | null }>;
}

export interface PlanAnswer {
  plan: Plan;
}

/** What `run` and `plan` take; `plan` takes no savepoint. */
export interface RunRequest {
  entryClass?: string;
  programArgsList?: string[];
  parallelism?: number;
  savepointPath?: string;
  allowNonRestoredState?: boolean;
  claimMode?: string;
  flinkConfiguration?: Record<string, string>;
}
