/** All vertices of a job in a table: what the graph shows, for those who rather read. */
import type { FiguresEvent, JobDetails } from "../../api/types";
import { formatBytes, formatRate, formatShare, formatShort } from "../../format/numbers";
import { elapsed, formatDuration } from "../../format/times";
import { LoadBar, Panel, StateBadge } from "../../ui/parts";
import { useNow } from "../../ui/useNow";

interface VertexListProps {
  job: JobDetails;
  figures: FiguresEvent | undefined;
  selected: string | null;
  onSelect: (id: string) => void;
}

export function VertexList({ job, figures, selected, onSelect }: VertexListProps) {
  const now = useNow();
  return (
    <Panel title="Vertices" flush testid="vertices">
      <div className="scroll-x tall" tabIndex={0} role="group" aria-label="Vertices: scrolls">
        <table className="table vertices">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">State</th>
              <th scope="col" className="num wide">Parallelism</th>
              <th scope="col">Busy / backpressured</th>
              <th scope="col" className="num wide">Records in</th>
              <th scope="col" className="num wide">Records out</th>
              <th scope="col" className="num extra wide">Bytes in</th>
              <th scope="col" className="num extra wide">Bytes out</th>
              <th scope="col" className="num extra wide">Duration</th>
            </tr>
          </thead>
          <tbody>
            {job.vertices.map((vertex) => {
              const current = figures?.vertices[vertex.id];
              return (
                <tr key={vertex.id} className={vertex.id === selected ? "selected" : ""}>
                  <th scope="row"><button type="button" className="plainbutton" onClick={() => onSelect(vertex.id)}>{vertex.name}</button></th>
                  <td><StateBadge state={vertex.status} /></td>
                  <td className="num wide">{vertex.parallelism}</td>
                  <td className="load">
                    {current === undefined ? "–" : (
                      <>
                        <LoadBar busy={current.busy} pressed={current.backPressured} />
                        <span className="small dim nowrap">{formatShare(current.busy)} / {formatShare(current.backPressured)}</span>
                      </>
                    )}
                  </td>
                  <td className="num wide"><Total value={formatShort(vertex.metrics["read-records"])} rate={current?.recordsInPerSecond} /></td>
                  <td className="num wide"><Total value={formatShort(vertex.metrics["write-records"])} rate={current?.recordsOutPerSecond} /></td>
                  <td className="num extra wide">{formatBytes(vertex.metrics["read-bytes"])}</td>
                  <td className="num extra wide">{formatBytes(vertex.metrics["write-bytes"])}</td>
                  <td className="num extra wide">{formatDuration(elapsed(vertex["start-time"], vertex["end-time"], now))}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Total({ value, rate }: { value: string; rate: number | undefined }) {
  return (
    <>
      {value}
      {rate !== undefined && <span className="small dim block">{formatRate(rate)}</span>}
    </>
  );
}
