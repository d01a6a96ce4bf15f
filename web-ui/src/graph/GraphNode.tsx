/** A vertex: its chain with the fused segments, how busy and backpressured it is, its watermark. A button that selects it. */
import { memo } from "react";
import type { PlanNode, VertexFigures, VertexSummary } from "../api/types";
import { formatShare } from "../format/numbers";
import { formatWatermark } from "../format/times";
import { LoadBar, toneOf } from "../ui/parts";
import { type LaidNode, OPERATORS_SHOWN_MAX } from "./layout";
import { operatorsOf, segmentsOf, shortName } from "./operators";
import { loadWord } from "./rates";

interface GraphNodeProps {
  node: PlanNode;
  laid: LaidNode;
  vertex: VertexSummary | undefined;
  figures: VertexFigures | undefined;
  selected: boolean;
  onSelect?: ((id: string) => void) | undefined;
}

export const GraphNode = memo(function GraphNode({ node, laid, vertex, figures, selected, onSelect }: GraphNodeProps) {
  const operators = operatorsOf(node);
  const shown = operators.slice(0, OPERATORS_SHOWN_MAX);
  const [busy, pressed] = [figures?.busy ?? 0, figures?.backPressured ?? 0];
  const parallelism = vertex?.parallelism ?? node.parallelism;
  const desired = vertex?.["desired-parallelism"];
  const name = vertex?.name ?? operators.map((operator) => operator.name).join(" -> ");
  const style = { left: laid.x, top: laid.y, width: laid.width, height: laid.height, "--busy": `${busy * 48}%`, "--pressed": `${pressed * 62}%` };
  const content = (
    <>
      <span className={`gnode-head ${vertex === undefined ? "" : `tone-${toneOf(vertex.status)}`}`}>
        {vertex !== undefined && <span className={`dot tone-${toneOf(vertex.status)}`} title={vertex.status}><span className="visually-hidden">{vertex.status}</span></span>}
        <strong className="ellipsis">{shortName(operators, name)}</strong>
        <span className="gnode-parallelism">×{parallelism}{desired !== undefined && desired !== parallelism ? `/${desired}` : ""}</span>
      </span>
      <span className="gnode-chain">
        {segmentsOf(shown).map((segment, at) => (
          <span key={at} className={segment.fused ? "segment fused" : "segment"} title={segment.fused ? "Run fused in one instance" : undefined}>
            {segment.operators.map((operator, index) => (
              <span key={index} className="operator">
                <i className={`kind-${operator.kind ?? "unknown"}`} title={operator.kind ?? undefined} />
                <span className="ellipsis">{operator.name}</span>
              </span>
            ))}
          </span>
        ))}
        {operators.length > shown.length && <span className="operator dim">and {operators.length - shown.length} more</span>}
      </span>
      {figures !== undefined && (
        <span className="gnode-foot">
          <span aria-hidden="true"><LoadBar busy={busy} pressed={pressed} /></span>
          <span className="gnode-line"><span>{formatShare(busy)} busy</span><span>{formatShare(pressed)} backpressured</span></span>
          <span className="gnode-line dim"><span>watermark</span><span className="ellipsis">{formatWatermark(figures.watermark)}</span></span>
        </span>
      )}
    </>
  );
  if (onSelect === undefined) return <div className="gnode" style={style} title={name}>{content}</div>;
  return (
    <button type="button" className="gnode" style={style} aria-pressed={selected} data-testid={`vertex-${node.id}`}
      data-status={vertex?.status} data-busy={busy.toFixed(3)} data-backpressured={pressed.toFixed(3)} data-load={loadWord(figures)} title={name} onClick={() => onSelect(node.id)}>
      {content}
    </button>
  );
});
