/** What a vertex's operators have counted by themselves. */
import { usePath } from "../../../api/queries";
import type { SubtaskAccumulators, VertexAccumulators } from "../../../api/types";
import { Notice, Shown } from "../../../ui/states";
import { type PartProps, vertexPath } from "./path";

export function AccumulatorsPart(props: PartProps) {
  const whole = usePath<VertexAccumulators>(vertexPath(props, "/accumulators"));
  const each = usePath<SubtaskAccumulators>(vertexPath(props, "/subtasks/accumulators"));
  return (
    <Shown of={whole} what="Accumulators">
      {({ "user-accumulators": found }) => found.length === 0
        ? <Notice title="No accumulators">The operators of this vertex declare none.</Notice>
        : (
          <div className="scroll-x" tabIndex={0} role="group" aria-label="Accumulators: scrolls">
            <table className="table" aria-label="Accumulators">
              <thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Value</th><th scope="col">By subtask</th></tr></thead>
              <tbody>
                {found.map(({ name, type, value }) => (
                  <tr key={name}>
                    <th scope="row">{name}</th>
                    <td className="dim">{type}</td>
                    <td className="wrap-anywhere">{value}</td>
                    <td className="dim wrap-anywhere">{bySubtask(each.data, name)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
    </Shown>
  );
}

function bySubtask(each: SubtaskAccumulators | undefined, name: string): string {
  const values = each?.subtasks.flatMap((task) => task["user-accumulators"].filter((one) => one.name === name).map((one) => one.value));
  return values === undefined || values.length === 0 ? "–" : values.join(", ");
}
