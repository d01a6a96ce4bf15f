/** How charts look. Colours are read from the page when a chart is made, so a chart is made anew for other colours. */
import uPlot from "uplot";

export type ChartColor = "accent" | "busy" | "pressed" | "idle" | "dim" | "bad" | "ok";

export interface ChartSeries {
  label: string;
  color: ChartColor;
  values: readonly (number | null)[];
  /** Filled to the axis. */
  area?: boolean;
  bars?: boolean;
  dashed?: boolean;
}

export interface ChartSpec {
  series: readonly ChartSeries[];
  format: (value: number | null) => string;
  /** What the horizontal axis counts: seconds since 1970, or just numbers. */
  axis: "time" | "number";
  /** Values are bytes: the axis counts in powers of two. */
  binary?: boolean;
  /** The top of the vertical axis at least. */
  maxAtLeast?: number;
}

const VARIABLES: Record<ChartColor, string> = {
  accent: "--m-accent", busy: "--m-busy", pressed: "--m-pressed", idle: "--m-line-strong", dim: "--m-dim", bad: "--m-bad", ok: "--m-ok",
};

/** Steps of axes: whole numbers, and powers of two. */
const DECIMAL = [1, 2, 5].flatMap((step) => [0, 1, 2, 3, 4, 5, 6].map((power) => step * 10 ** power)).sort((a, b) => a - b);
const BINARY = Array.from({ length: 45 }, (_, power) => 2 ** power);

/** Steps of an axis of time, in seconds: whole ones, up to a day. */
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];

const FONT = "11px system-ui, sans-serif";

export function optionsOf(spec: ChartSpec, width: number, height: number): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const look: uPlot.Axis = {
    stroke: color("--m-dim"),
    font: FONT,
    grid: { stroke: color("--m-line"), width: 1 },
    ticks: { show: false },
    border: { show: false },
  };
  const series = spec.series.map((one): uPlot.Series => {
    const stroke = color(VARIABLES[one.color]);
    return {
      label: one.label,
      stroke,
      width: one.bars ? 0 : 1.6,
      points: { show: false },
      spanGaps: false,
      ...(one.area ? { fill: `${stroke}26` } : {}),
      ...(one.dashed ? { dash: [4, 4] } : {}),
      ...(one.bars ? { fill: stroke, paths: bars() } : {}),
      value: (_: uPlot, value: number | null) => spec.format(value),
    };
  });
  return {
    width,
    height,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: {
      // Bars at the ends are as wide as the others.
      x: spec.axis === "time" ? { time: true } : { time: false, range: (_: uPlot, min: number, max: number) => [min - 0.6, max + 0.6] },
      y: { range: (_: uPlot, __: number, max: number) => [0, Math.max(max * 1.08, spec.maxAtLeast ?? 0) || 1] },
    },
    axes: [
      { ...look, size: 26, gap: 8, space: 70, ...(spec.axis === "time" ? { incrs: SECONDS, values: times } : { incrs: DECIMAL }) },
      { ...look, size: 58, space: 30, ...(spec.binary ? { incrs: BINARY } : {}), values: (_: uPlot, ticks: number[]) => ticks.map((tick) => spec.format(tick)) },
    ],
    series: [{}, ...series],
  };
}

function bars(): uPlot.Series.PathBuilder {
  const build = uPlot.paths.bars;
  return build === undefined ? () => null : build({ size: [0.7, 24, 2] });
}

function times(_: uPlot, ticks: number[]): string[] {
  const two = (value: number) => String(value).padStart(2, "0");
  return ticks.map((tick) => {
    const date = new Date(tick * 1_000);
    return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  });
}
