/** The graph with the panel of the vertex that is chosen, and all vertices as a list. */
import type { JobDetails } from "../../api/types";
import { JobGraph } from "../../graph/JobGraph";
import type { FiguresHistory } from "../../live/figures";
import { href, navigate, type Route } from "../../router";
import { Panel } from "../../ui/parts";
import { VertexPanel } from "./vertex/VertexPanel";
import { VertexList } from "./VertexList";

interface GraphTabProps {
  job: JobDetails;
  history: FiguresHistory;
  route: Route;
}

export function GraphTab({ job, history, route }: GraphTabProps) {
  const chosen = job.vertices.find((vertex) => vertex.id === route.query.get("vertex"));
  const figures = history[history.length - 1];
  const select = (id: string | null, panel: string | null = route.query.get("panel")) =>
    navigate(href(["job", job.jid, "graph"], id === null ? {} : { vertex: id, panel }), true);
  const legend = (
    <span className="legend">
      <span><i className="swatch-busy" /> busy</span>
      <span><i className="swatch-pressed" /> backpressured</span>
      <span><i className="swatch-idle" /> idle</span>
      <span><i className="swatch-fused" /> fused in one instance</span>
    </span>
  );
  return (
    <div className={chosen === undefined ? "graphtab" : "graphtab chosen"}>
      <div className="stack">
        <Panel title="Graph" aside={legend} flush>
          <div aria-busy={figures === undefined && job.state === "RUNNING"}>
            <JobGraph plan={job.plan} vertices={job.vertices} figures={figures} selected={chosen?.id ?? null} onSelect={(id) => select(id === chosen?.id ? null : id)} />
          </div>
        </Panel>
        <VertexList job={job} figures={figures} selected={chosen?.id ?? null} onSelect={(id) => select(id)} />
      </div>
      {chosen !== undefined && (
        <VertexPanel key={chosen.id} job={job} vertex={chosen} history={history} panel={route.query.get("panel")}
          onPanel={(panel) => select(chosen.id, panel)} onClose={() => select(null)} />
      )}
    </div>
  );
}
