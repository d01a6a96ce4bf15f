/** A graph's layout, worked out by a worker. A plan that looks the same keeps the layout that it has. */
import { useEffect, useMemo, useState } from "react";
import type { Plan } from "../api/types";
import type { Direction, Layout } from "./layout";
import { operatorsOf } from "./operators";

let worker: Worker | undefined;
let requests = 0;

/** What of a plan decides where things lie. */
export function shapeOf(plan: Plan): string {
  return JSON.stringify(plan.nodes.map((node) => [
    node.id,
    operatorsOf(node).map(({ name, segment }) => [name, segment]),
    (node.inputs ?? []).map((input) => [input.id, input.num, input.ship_strategy]),
  ]));
}

/** `direction` is null until it is known. */
export function useLayout(plan: Plan, direction: Direction | null, plain: boolean): Layout | null {
  const shape = useMemo(() => shapeOf(plan), [plan]);
  const [found, setFound] = useState<{ of: string; layout: Layout } | null>(null);
  const wanted = `${direction} ${String(plain)} ${shape}`;
  useEffect(() => {
    if (direction === null) return undefined;
    worker ??= new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
    const current = worker;
    requests += 1;
    const id = requests;
    const answered = ({ data }: MessageEvent<{ id: number; layout: Layout }>) => {
      if (data.id === id) setFound({ of: wanted, layout: data.layout });
    };
    current.addEventListener("message", answered);
    current.postMessage({ id, plan, direction, plain });
    return () => current.removeEventListener("message", answered);
    // The shape says of the plan what matters here.
  }, [wanted]);
  if (found === null) return null;
  // Until there is another one the last one stays, if it is of the same vertices.
  const known = new Set(found.layout.nodes.map((node) => node.id));
  const fits = found.of === wanted || (known.size === plan.nodes.length && plan.nodes.every((node) => known.has(node.id)));
  return fits ? found.layout : null;
}
