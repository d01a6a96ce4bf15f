/**
 * Where the vertices and edges of a job's graph lie. Pure, so that it runs in a worker and in tests; dagre does the work.
 * Vertices are as high as the operators that they show need.
 */
import { graphlib, layout as run } from "@dagrejs/dagre";
import type { Plan } from "../api/types";
import { operatorsOf, type Operator, segmentsOf } from "./operators";

export const NODE_WIDTH = 236;

/** Operators that a vertex shows; the others are counted. */
export const OPERATORS_SHOWN_MAX = 5;

/** Heights of a vertex's parts, as in graph.css. */
const HEAD_HEIGHT = 34;
const OPERATOR_HEIGHT = 19;
const SEGMENT_GAP = 4;
const FOOT_HEIGHT = 58;
/** Below the operators of a plan, which has no figures. */
const PLAIN_FOOT_HEIGHT = 10;

export type Direction = "LR" | "TB";

export interface LaidNode {
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface LaidEdge {
  from: string;
  to: string;
  /** How the records are dealt out: FORWARD, HASH, … */
  strategy: string;
  points: { x: number; y: number }[];
  label: { x: number; y: number };
}

export interface Layout {
  nodes: LaidNode[];
  edges: LaidEdge[];
  width: number;
  height: number;
}

export function nodeHeight(operators: readonly Operator[], plain = false): number {
  const shown = operators.slice(0, OPERATORS_SHOWN_MAX);
  const rows = shown.length + (operators.length > shown.length ? 1 : 0);
  return HEAD_HEIGHT + rows * OPERATOR_HEIGHT + segmentsOf(shown).length * SEGMENT_GAP + (plain ? PLAIN_FOOT_HEIGHT : FOOT_HEIGHT);
}

/** `plain`: of a plan that does not run. */
export function layoutPlan(plan: Plan, direction: Direction, plain = false): Layout {
  const graph = new graphlib.Graph({ multigraph: true });
  const wide = direction === "LR";
  graph.setGraph({ rankdir: direction, nodesep: wide ? 26 : 30, ranksep: wide ? 52 : 62, marginx: 12, marginy: 12 });
  for (const node of plan.nodes) {
    graph.setNode(node.id, { width: NODE_WIDTH, height: nodeHeight(operatorsOf(node), plain) });
  }
  const known = new Set(plan.nodes.map((node) => node.id));
  const strategies = new Map<string, string>();
  for (const node of plan.nodes) {
    for (const input of node.inputs ?? []) {
      if (!known.has(input.id)) continue;
      const name = `${input.id} ${node.id} ${input.num}`;
      strategies.set(name, input.ship_strategy);
      graph.setEdge(input.id, node.id, { width: 74, height: 34, labelpos: "c" }, name);
    }
  }
  run(graph);
  const nodes = plan.nodes.map(({ id }) => {
    const { x, y, width, height } = graph.node(id) as LaidNode;
    return { id, x: x - width / 2, y: y - height / 2, width, height };
  });
  const edges = graph.edges().map((edge): LaidEdge => {
    const laid = graph.edge(edge) as { points: { x: number; y: number }[]; x: number; y: number };
    return {
      from: edge.v, to: edge.w, strategy: strategies.get(edge.name ?? "") ?? "",
      points: laid.points.map(({ x, y }) => ({ x, y })), label: { x: laid.x, y: laid.y },
    };
  });
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return { nodes, edges, width, height };
}

/** A smooth path through an edge's points, leaving and arriving along the direction of the graph. */
export function edgePath(points: readonly { x: number; y: number }[], direction: Direction): string {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  let path = `M${round(first.x)} ${round(first.y)}`;
  let from = first;
  for (const to of rest) {
    const [a, b] = direction === "LR"
      ? [{ x: (from.x + to.x) / 2, y: from.y }, { x: (from.x + to.x) / 2, y: to.y }]
      : [{ x: from.x, y: (from.y + to.y) / 2 }, { x: to.x, y: (from.y + to.y) / 2 }];
    path += ` C${round(a.x)} ${round(a.y)} ${round(b.x)} ${round(b.y)} ${round(to.x)} ${round(to.y)}`;
    from = to;
  }
  return path;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
