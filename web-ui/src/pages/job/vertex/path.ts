/** Where a vertex's things are. */
import type { JobDetails, VertexSummary } from "../../../api/types";

export interface PartProps {
  job: JobDetails;
  vertex: VertexSummary;
}

export function vertexPath({ job, vertex }: PartProps, rest = ""): string {
  return `/jobs/${job.jid}/vertices/${vertex.id}${rest}`;
}
