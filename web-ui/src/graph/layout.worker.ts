/** Lays graphs out beside the page, which goes on meanwhile. */
import type { Plan } from "../api/types";
import { type Direction, layoutPlan } from "./layout";

export interface LayoutRequest {
  id: number;
  plan: Plan;
  direction: Direction;
  plain: boolean;
}

self.onmessage = ({ data }: MessageEvent<LayoutRequest>) => {
  self.postMessage({ id: data.id, layout: layoutPlan(data.plan, data.direction, data.plain) });
};
