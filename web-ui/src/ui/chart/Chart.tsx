/** A chart with its legend, which tells the values under the pointer or the newest ones; and in words for who cannot see it. */
import { useComputedColorScheme } from "@mantine/core";
import { lazy, Suspense, useState } from "react";
import type { ChartSpec } from "./options";

const PlotCanvas = lazy(() => import("./PlotCanvas"));

interface ChartProps extends ChartSpec {
  title: string;
  x: readonly number[];
  height?: number;
  /** What is said of the point in front of the values. */
  describe?: (x: number) => string;
}

export function Chart({ title, x, height = 130, describe, ...spec }: ChartProps) {
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const [point, setPoint] = useState<number | null>(null);
  const at = point !== null && point < x.length ? point : x.length - 1;
  const values = spec.series.map((one) => ({ one, text: spec.format(one.values[at] ?? null) }));
  const position = x[at];
  const words = `${title}: ${values.map(({ one, text }) => `${one.label} ${text}`).join(", ")}`;
  return (
    <figure className="chart" aria-label={words}>
      <figcaption>
        <span className="charttitle ellipsis" title={title}>{title}</span>
        <span className="legend" aria-hidden="true">
          {point !== null && position !== undefined && describe !== undefined && <span>{describe(position)}</span>}
          {values.map(({ one, text }) => (
            <span key={one.label}><i className={`swatch-${one.color}`} /> {one.label} <b>{text}</b></span>
          ))}
        </span>
      </figcaption>
      {x.length < 2 && !spec.series.some((one) => one.bars) ? (
        <div className="chartwait" style={{ height }}>Waiting for a second point</div>
      ) : (
        <Suspense fallback={<div style={{ height }} aria-busy="true" />}>
          <PlotCanvas spec={spec} x={x} height={height} scheme={scheme} onPoint={setPoint} />
        </Suspense>
      )}
    </figure>
  );
}
