/** The operators of a vertex's chain: as Millrace tells them, or read out of Flink's description. */
import type { PlanNode } from "../api/types";

export interface Operator {
  name: string;
  uid: string | null;
  kind: "native" | "wasm" | null;
  component: string | null;
  /** Operators with the same number run fused in one instance. */
  segment: number | null;
}

export function operatorsOf(node: Pick<PlanNode, "description" | "millrace">): Operator[] {
  const told = node.millrace?.operators;
  if (told !== undefined && told.length > 0) {
    // The description says of each what it is: "Source: lines".
    const described = chainOf(node.description);
    const named = (name: string, at: number) => (described.length === told.length && described[at]?.endsWith(name) ? described[at] : name);
    return told.map(({ name, uid, kind, component, segment }, at) => ({ name: named(name, at), uid, kind, component: component ?? null, segment: segment ?? null }));
  }
  return chainOf(node.description).map((name) => ({ name, uid: null, kind: null, component: null, segment: null }));
}

/** Flink's description draws the chain as a tree: "Source: lines<br/>+- split<br/>   +- pair<br/>". */
export function chainOf(description: string): string[] {
  return unescape(description)
    .split(/<br\s*\/?>|\n/)
    .map((line) => line.replace(/^[\s:|]*(?:\+-|-)?\s+/, "").trim())
    .filter((line) => line !== "");
}

function unescape(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&amp;", "&");
}

export interface Segment {
  operators: Operator[];
  /** Several operators in one Wasm instance. */
  fused: boolean;
}

/** Successive operators of one segment together. */
export function segmentsOf(operators: readonly Operator[]): Segment[] {
  const segments: Segment[] = [];
  let last: number | null = null;
  for (const operator of operators) {
    const open = segments.at(-1);
    if (open !== undefined && operator.segment !== null && operator.segment === last) {
      open.operators.push(operator);
      open.fused = operator.kind === "wasm";
    } else {
      segments.push({ operators: [operator], fused: false });
    }
    last = operator.segment;
  }
  return segments;
}

/** How a vertex is named in short: its first operator. */
export function shortName(operators: readonly Operator[], name: string): string {
  return operators[0]?.name ?? name;
}
