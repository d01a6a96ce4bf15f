/** What the tasks of a vertex have logged. */
import { LogView } from "../../../ui/LogView";
import type { PartProps } from "./path";

export function VertexLog({ job, vertex }: PartProps) {
  return <LogView path={`/jobs/${job.jid}/log?vertex=${vertex.id}`} what="The log" empty="The tasks of this vertex have logged nothing." />;
}
