/** The drawing of a chart. Loaded with the first chart. */
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useWidth } from "../useWidth";
import { type ChartSpec, optionsOf } from "./options";

export interface PlotCanvasProps {
  spec: ChartSpec;
  x: readonly number[];
  height: number;
  /** Of the colours: a chart with others is another chart. */
  scheme: string;
  /** Index of the point under the pointer. */
  onPoint: (index: number | null) => void;
}

export default function PlotCanvas({ spec, x, height, scheme, onPoint }: PlotCanvasProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const width = useWidth(host);
  const shape = `${scheme} ${spec.axis} ${spec.series.map((one) => `${one.label}/${one.color}`).join()}`;
  const data: uPlot.AlignedData = [x as number[], ...spec.series.map((one) => one.values as (number | null)[])];
  const latest = useRef({ spec, data, onPoint });
  latest.current = { spec, data, onPoint };

  useEffect(() => {
    const element = host.current;
    if (element === null || width === 0) return undefined;
    const options = optionsOf(latest.current.spec, width, height);
    options.hooks = { setCursor: [(self) => latest.current.onPoint(self.cursor.idx ?? null)] };
    plot.current = new uPlot(options, latest.current.data, element);
    return () => {
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, width, height]);

  useEffect(() => {
    plot.current?.setData(data);
  });

  return <div ref={host} style={{ height, minWidth: 0 }} aria-hidden="true" />;
}
