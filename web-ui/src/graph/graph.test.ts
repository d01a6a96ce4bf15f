import { describe, expect, it } from "vitest";
import type { Plan, PlanNode } from "../api/types";
import { edgePath, layoutPlan, nodeHeight } from "./layout";
import { chainOf, operatorsOf, segmentsOf } from "./operators";

function node(id: string, inputs: string[] = [], description = `${id}<br/>`): PlanNode {
  return {
    id, parallelism: 1, description,
    inputs: inputs.map((input, num) => ({ id: input, num, exchange: "pipelined_bounded", ship_strategy: "HASH" })),
  };
}

function plan(nodes: PlanNode[]): Plan {
  return { jid: "j", name: "j", nodes };
}

describe("operators", () => {
  it("are read out of Flink's description", () => {
    expect(chainOf("Source: lines<br/>+- split<br/>   +- pair &lt;a, b&gt;<br/>")).toEqual(["Source: lines", "split", "pair <a, b>"]);
    expect(chainOf("[1]:Source<br/>:- left<br/>:  +- deep<br/>+- right<br/>")).toEqual(["[1]:Source", "left", "deep", "right"]);
  });

  it("of one segment are fused", () => {
    const told = [["a", 0], ["b", 0], ["c", null], ["d", 1], ["e", 2], ["f", 2]] as const;
    const operators = operatorsOf({
      description: "unused",
      millrace: { operators: told.map(([name, segment]) => ({ uid: name, name, kind: "wasm", segment })) },
    });
    expect(segmentsOf(operators).map(({ operators: found, fused }) => [found.map(({ name }) => name).join(""), fused])).toEqual([
      ["ab", true], ["c", false], ["d", false], ["ef", true],
    ]);
  });

  it("of the host are not fused, though they stand in one segment", () => {
    const operators = ["a", "b"].map((name) => ({ uid: name, name, kind: "native" as const, segment: 0 }));
    expect(segmentsOf(operatorsOf({ description: "unused", millrace: { operators } })).map(({ fused }) => fused)).toEqual([false]);
  });

  it("are named as the description has them", () => {
    const operators = ["lines", "split"].map((name) => ({ uid: name, name, kind: "native" as const, segment: 0 }));
    expect(operatorsOf({ description: "Source: lines<br/>+- split<br/>", millrace: { operators } }).map(({ name }) => name)).toEqual(["Source: lines", "split"]);
  });

  it("that are many do not make a vertex higher and higher", () => {
    const chain = (length: number) => nodeHeight(Array.from({ length }, (_, at) => ({ name: `o${at}`, uid: null, kind: null, component: null, segment: null })));
    expect(chain(3)).toBeGreaterThan(chain(1));
    expect(chain(30)).toBe(chain(7));
  });
});

describe("the layout", () => {
  it("goes from sources to sinks without overlap, either way", () => {
    const diamond = plan([node("d", ["b", "c"]), node("b", ["a"]), node("c", ["a"]), node("a")]);
    for (const direction of ["LR", "TB"] as const) {
      const { nodes, edges, width, height } = layoutPlan(diamond, direction);
      const at = Object.fromEntries(nodes.map((laid) => [laid.id, laid]));
      const along = direction === "LR" ? ("x" as const) : ("y" as const);
      const ranks = ["a", "b", "d"].map((id) => at[id]?.[along] ?? Number.NaN);
      expect(ranks).toEqual([...ranks].sort((one, other) => one - other));
      expect(edges).toHaveLength(4);
      for (const one of nodes) {
        expect(one.x).toBeGreaterThanOrEqual(0);
        expect(one.x + one.width).toBeLessThanOrEqual(width);
        expect(one.y + one.height).toBeLessThanOrEqual(height);
        for (const other of nodes) {
          const apart = one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y || other.y + other.height <= one.y;
          expect(one === other || apart).toBe(true);
        }
      }
    }
  });

  it("keeps two edges between the same vertices apart, and passes over an input that is not there", () => {
    const { edges } = layoutPlan(plan([node("b", ["a", "a", "gone"]), node("a")]), "LR");
    expect(edges.map(({ from, to, strategy }) => [from, to, strategy])).toEqual([["a", "b", "HASH"], ["a", "b", "HASH"]]);
  });

  it("lays sixty vertices out", () => {
    const nodes = Array.from({ length: 60 }, (_, at) => node(`v${at}`, at < 6 ? [] : [`v${at - 6}`, `v${at - 5 - (at % 3)}`]));
    expect(layoutPlan(plan(nodes), "LR").nodes).toHaveLength(60);
  });

  it("draws edges that leave and arrive along the graph", () => {
    const points = [{ x: 0, y: 0 }, { x: 10, y: 20 }];
    expect(edgePath(points, "LR")).toBe("M0 0 C5 0 5 20 10 20");
    expect(edgePath(points, "TB")).toBe("M0 0 C0 10 10 10 10 20");
    expect(edgePath([], "LR")).toBe("");
  });
});
