/**
 * A job's graph. It scrolls like any part of the page, also by dragging; zoom by the buttons, or by the wheel with Ctrl held.
 * Vertices are buttons, in the order of the data's way.
 */
import { ActionIcon, useComputedColorScheme } from "@mantine/core";
import { useEffect, useMemo, useRef, useState } from "react";
import type { FiguresEvent, Plan, VertexSummary } from "../api/types";
import { formatRate } from "../format/numbers";
import { Icon } from "../ui/Icon";
import { Loading, Notice } from "../ui/states";
import { GraphNode } from "./GraphNode";
import "./graph.css";
import { type Direction, edgePath, type LaidNode, type Layout } from "./layout";
import { type EdgeRates, edgeRates, edgeWidth } from "./rates";
import { useWidth } from "../ui/useWidth";
import { useDragScroll } from "./useDragScroll";
import { useLayout } from "./useLayout";

/** Below this width the graph goes from top to bottom. */
const WIDE_PX_MIN = 760;

const HEIGHT_PX_MAX = 620;
const ZOOM_MIN = 0.1;
const ZOOM_MAX = 1.6;
/** Smaller than this nothing can be read, so at first the graph rather scrolls. */
const ZOOM_READABLE = 0.55;

interface JobGraphProps {
  plan: Plan;
  vertices?: readonly VertexSummary[];
  figures?: FiguresEvent | undefined;
  selected?: string | null;
  onSelect?: (id: string) => void;
}

export function JobGraph({ plan, vertices = [], figures, selected = null, onSelect }: JobGraphProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const width = useWidth(scroller);
  const direction: Direction = width >= WIDE_PX_MIN ? "LR" : "TB";
  const layout = useLayout(plan, width === 0 ? null : direction, onSelect === undefined);
  const [chosen, setChosen] = useState<number | null>(null);
  const fitting = layout === null || width === 0 ? 1 : Math.min(1, width / layout.width);
  const scale = chosen ?? Math.max(ZOOM_READABLE, fitting);
  useDragScroll(scroller);
  useFirstInSight(scroller, layout, direction, scale);
  useSelectedInSight(scroller, layout, selected, scale);
  useWheelZoom(scroller, scale, setChosen);
  const zoom = (factor: number) => setChosen(Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, scale * factor)));

  if (plan.nodes.length === 0) return <Notice title="The graph is empty" />;
  const fitAll = () => layout !== null && setChosen(Math.max(ZOOM_MIN, Math.min(1, width / layout.width, HEIGHT_PX_MAX / layout.height)));
  return (
    <div className="graph" data-testid="graph" role="group" aria-label="Graph of the job">
      <div ref={scroller} className="graph-scroll" tabIndex={0} aria-label="Graph: scrolls" role="group"
        style={{ height: layout === null ? 240 : Math.min(HEIGHT_PX_MAX, Math.max(180, layout.height * scale + 2)) }}>
        {layout === null ? <Loading label="Laying the graph out" /> : (
          <Layer plan={plan} layout={layout} direction={direction} scale={scale} vertices={vertices} figures={figures} selected={selected} onSelect={onSelect} width={width} />
        )}
      </div>
      <div className={direction === "LR" ? "graph-tools" : "graph-tools upright"}>
        <ActionIcon variant="default" size="sm" aria-label="Zoom in" onClick={() => zoom(1.25)}><Icon name="plus" size={13} /></ActionIcon>
        <ActionIcon variant="default" size="sm" aria-label="Zoom out" onClick={() => zoom(0.8)}><Icon name="minus" size={13} /></ActionIcon>
        <ActionIcon variant="default" size="sm" aria-label="Fit the whole graph" onClick={fitAll}><Icon name="fit" size={13} /></ActionIcon>
      </div>
    </div>
  );
}

/** A graph that is larger than its place begins with the first source, not with its empty corner. */
function useFirstInSight(scroller: React.RefObject<HTMLDivElement | null>, layout: Layout | null, direction: Direction, scale: number): void {
  const first = layout === null ? undefined : inOrder(layout, direction)[0];
  const shown = useRef<Layout | null>(null);
  useEffect(() => {
    const element = scroller.current;
    if (element === null || first === undefined || layout === shown.current) return;
    shown.current = layout;
    element.scrollTo(Math.max(0, first.x * scale - 24), Math.max(0, first.y * scale - 24));
  }, [scroller, layout, first, scale]);
}

/** A vertex that is chosen elsewhere, or out of sight once its panel stands beside the graph, comes into sight. */
function useSelectedInSight(scroller: React.RefObject<HTMLDivElement | null>, layout: Layout | null, selected: string | null, scale: number): void {
  useEffect(() => {
    const [element, laid] = [scroller.current, layout?.nodes.find((node) => node.id === selected)];
    if (element === null || laid === undefined) return;
    const place = (start: number, size: number, from: number, shown: number) => {
      const inSight = start >= from && start + size <= from + shown;
      return inSight ? from : Math.max(0, start + size / 2 - shown / 2);
    };
    element.scrollTo(
      place(laid.x * scale, laid.width * scale, element.scrollLeft, element.clientWidth),
      place(laid.y * scale, laid.height * scale, element.scrollTop, element.clientHeight),
    );
  }, [scroller, layout, selected, scale]);
}

/** Vertices along the data's way. */
function inOrder(layout: Layout, direction: Direction): LaidNode[] {
  const along = direction === "LR" ? "x" : "y";
  return [...layout.nodes].sort((a, b) => a[along] - b[along] || a.x - b.x || a.y - b.y);
}

function useWheelZoom(scroller: React.RefObject<HTMLDivElement | null>, scale: number, onZoom: (scale: number) => void): void {
  useEffect(() => {
    const element = scroller.current;
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      onZoom(Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, scale * Math.exp(-event.deltaY / 300))));
    };
    element?.addEventListener("wheel", wheel, { passive: false });
    return () => element?.removeEventListener("wheel", wheel);
  }, [scroller, scale, onZoom]);
}

interface LayerProps {
  plan: Plan;
  layout: Layout;
  direction: Direction;
  scale: number;
  width: number;
  vertices: readonly VertexSummary[];
  figures: FiguresEvent | undefined;
  selected: string | null;
  onSelect: ((id: string) => void) | undefined;
}

function Layer({ plan, layout, direction, scale, width, vertices, figures, selected, onSelect }: LayerProps) {
  const known = useMemo(() => new Map(vertices.map((vertex) => [vertex.id, vertex])), [vertices]);
  const nodes = useMemo(() => new Map(plan.nodes.map((node) => [node.id, node])), [plan]);
  const rates = useMemo(() => edgeRates(plan, figures), [plan, figures]);
  const ordered = useMemo(() => inOrder(layout, direction), [layout, direction]);
  const margin = Math.max(0, (width - layout.width * scale) / 2);
  return (
    <div style={{ width: layout.width * scale, height: layout.height * scale, marginLeft: margin }}>
      <div className="graph-layer" style={{ width: layout.width, height: layout.height, transform: `scale(${scale})` }}>
        <Edges layout={layout} direction={direction} rates={rates} selected={selected} />
        {ordered.map((laid) => {
          const node = nodes.get(laid.id);
          return node === undefined ? null : (
            <GraphNode key={laid.id} node={node} laid={laid} vertex={known.get(laid.id)} figures={figures?.vertices[laid.id]} selected={selected === laid.id} onSelect={onSelect} />
          );
        })}
      </div>
    </div>
  );
}

interface EdgesProps {
  layout: Layout;
  direction: Direction;
  rates: EdgeRates;
  selected: string | null;
}

function Edges({ layout, direction, rates, selected }: EdgesProps) {
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  return (
    <>
      <svg width={layout.width} height={layout.height} aria-hidden="true" data-scheme={scheme}>
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">
            <path d="M0 0L8 4L0 8z" className="graph-arrow" />
          </marker>
        </defs>
        {layout.edges.map((edge, at) => {
          const rate = rates(edge.from, edge.to);
          const near = selected === edge.from || selected === edge.to;
          return (
            <path key={at} d={edgePath(edge.points, direction)} className={`graph-edge ${near ? "near" : ""} ${rate !== null && rate >= 1 ? "flows" : ""}`}
              strokeWidth={edgeWidth(rate)} markerEnd="url(#arrow)" />
          );
        })}
      </svg>
      {layout.edges.map((edge, at) => {
        const rate = rates(edge.from, edge.to);
        return (
          <span key={at} className="graph-label" style={{ left: edge.label.x, top: edge.label.y }} data-testid={`edge-${edge.from}-${edge.to}`} data-rate={rate ?? undefined}>
            {rate !== null && <b>{formatRate(rate)}</b>}
            <span>{edge.strategy.toLowerCase()}</span>
          </span>
        );
      })}
    </>
  );
}
