/** Where a vertex runs. */
import { usePath } from "../../../api/queries";
import type { VertexTaskManagers } from "../../../api/types";
import { formatShort } from "../../../format/numbers";
import { formatDuration } from "../../../format/times";
import { Link } from "../../../router";
import { StateBadge } from "../../../ui/parts";
import { Notice, Shown } from "../../../ui/states";
import { type PartProps, vertexPath } from "./path";

export function TaskManagersPart(props: PartProps) {
  const found = usePath<VertexTaskManagers>(vertexPath(props, "/taskmanagers"));
  return (
    <Shown of={found} what="TaskManagers">
      {({ taskmanagers }) => taskmanagers.length === 0 ? <Notice title="Nowhere yet">The subtasks wait for slots.</Notice> : (
        <div className="scroll-x" tabIndex={0} role="group" aria-label="TaskManagers: scrolls">
          <table className="table" aria-label="TaskManagers of the vertex">
            <thead>
              <tr><th scope="col">TaskManager</th><th scope="col">State</th><th scope="col">Subtasks</th><th scope="col" className="num">Records in</th><th scope="col" className="num">Records out</th><th scope="col" className="num">Duration</th></tr>
            </thead>
            <tbody>
              {taskmanagers.map((one) => (
                <tr key={one["taskmanager-id"]}>
                  <th scope="row"><Link to={["taskmanager", one["taskmanager-id"]]} className="wrap-anywhere">{one["taskmanager-id"]}</Link></th>
                  <td><StateBadge state={one.status} /></td>
                  <td className="small">{Object.entries(one["status-counts"]).filter(([, count]) => count > 0).map(([state, count]) => `${count} ${state.toLowerCase()}`).join(", ")}</td>
                  <td className="num">{formatShort(one.metrics["read-records"])}</td>
                  <td className="num">{formatShort(one.metrics["write-records"])}</td>
                  <td className="num">{formatDuration(one.duration)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Shown>
  );
}
