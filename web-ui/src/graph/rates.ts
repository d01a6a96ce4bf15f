/** What flows along the edges of a graph. */
import type { FiguresEvent, Plan, VertexFigures } from "../api/types";

/** Records a second on the edge from one vertex to another; null where the figures cannot tell. */
export type EdgeRates = (from: string, to: string) => number | null;

/**
 * A vertex counts what it reads from all its inputs together, and what it writes to all its outputs. Where it has one input, or
 * its producer one output, that is the edge's.
 */
export function edgeRates(plan: Plan, figures: FiguresEvent | undefined): EdgeRates {
  const inputs = new Map(plan.nodes.map((node) => [node.id, (node.inputs ?? []).length]));
  const outputs = new Map<string, number>();
  for (const node of plan.nodes) {
    for (const input of node.inputs ?? []) outputs.set(input.id, (outputs.get(input.id) ?? 0) + 1);
  }
  return (from, to) => {
    if (inputs.get(to) === 1) return figures?.vertices[to]?.recordsInPerSecond ?? null;
    if (outputs.get(from) === 1) return figures?.vertices[from]?.recordsOutPerSecond ?? null;
    return null;
  };
}

/** How an edge is drawn: thicker by powers of ten. */
export function edgeWidth(rate: number | null): number {
  if (rate === null || rate < 1) return 1.4;
  return 1.6 + Math.min(3, Math.log10(rate) * 0.55);
}

/** What a vertex spends its time on most; what is below a tenth is nothing. */
export function loadWord(figures: VertexFigures | undefined): string | null {
  if (figures === undefined) return null;
  if (figures.backPressured >= 0.1 && figures.backPressured >= figures.busy) return "backpressured";
  return figures.busy >= 0.1 ? "busy" : null;
}
