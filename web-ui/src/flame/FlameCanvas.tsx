/** The picture of a flame graph. A click looks at a frame; the list of functions beside it says the same in words. */
import { useComputedColorScheme, useMantineTheme } from "@mantine/core";
import { useEffect, useMemo, useRef, useState } from "react";
import type { FlameNode } from "../api/types";
import { formatCount, formatShare } from "../format/numbers";
import { useWidth } from "../ui/useWidth";
import { briefName, plainName } from "./names";
import { type Frame, frameAt, hueOf, layFlame } from "./fold";

const ROW_PX = 20;
const ROWS_MAX = 60;

interface FlameCanvasProps {
  root: FlameNode;
  focus: readonly string[];
  onFocus: (path: readonly string[]) => void;
  /** Frames with this text stand out. */
  search: string;
}

export function FlameCanvas({ root, focus, onFocus, search }: FlameCanvasProps) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const canvas = useRef<HTMLCanvasElement>(null);
  const dark = useComputedColorScheme("light", { getInitialValueInEffect: false }) === "dark";
  const font = `11px ${useMantineTheme().fontFamilyMonospace ?? "monospace"}`;
  const [under, setUnder] = useState<Frame | null>(null);
  const frames = useMemo(() => layFlame(root, focus), [root, focus]);
  const rows = Math.min(ROWS_MAX, frames.reduce((most, frame) => Math.max(most, frame.depth + 1), 1));
  const height = rows * ROW_PX;

  useEffect(() => {
    if (canvas.current !== null && width > 0) draw(canvas.current, frames, { width, height, dark, font, search, under });
  }, [frames, width, height, dark, font, search, under]);

  const frameOf = (event: React.MouseEvent) => {
    const bounds = event.currentTarget.getBoundingClientRect();
    return frameAt(frames, (event.clientX - bounds.left) / bounds.width, Math.floor((event.clientY - bounds.top) / ROW_PX));
  };
  return (
    <div className="flame">
      <p className="flame-under mono small ellipsis" aria-live="off">
        {under === null ? <span className="dim">Click a frame to look closer.</span> : `${under.name} · ${formatCount(under.value)} samples, ${formatShare(under.value / Math.max(1, root.value))}`}
      </p>
      <div ref={box} style={{ height }}>
        <canvas ref={canvas} role="img" aria-label={`Flame graph of ${formatCount(root.value)} samples; the list of functions says the same`} data-testid="flamegraph" data-frames={frames.length}
          style={{ display: "block", width: "100%", height, cursor: under === null ? "default" : "pointer" }}
          onMouseMove={(event) => setUnder(frameOf(event))} onMouseLeave={() => setUnder(null)}
          onClick={(event) => {
            const frame = frameOf(event);
            if (frame !== null) onFocus(frame.path);
          }} />
      </div>
    </div>
  );
}

interface Look {
  width: number;
  height: number;
  dark: boolean;
  font: string;
  search: string;
  under: Frame | null;
}

function draw(canvas: HTMLCanvasElement, frames: readonly Frame[], { width, height, dark, font, search, under }: Look): void {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.scale(ratio, ratio);
  context.font = font;
  context.textBaseline = "middle";
  const letter = context.measureText("m").width;
  const wanted = search.trim().toLowerCase();
  for (const frame of frames) {
    const [x, w, y] = [frame.x * width, frame.width * width - 1, frame.depth * ROW_PX];
    const found = wanted === "" || frame.name.toLowerCase().includes(wanted);
    const lightness = dark ? (frame === under ? 46 : 36) : frame === under ? 66 : 76;
    context.fillStyle = `hsl(${hueOf(frame.name)} ${frame.above || !found ? 8 : dark ? 52 : 78}% ${lightness}%)`;
    context.fillRect(x, y, Math.max(0.5, w), ROW_PX - 1);
    const letters = Math.floor((w - 8) / letter);
    if (letters < 3) continue;
    context.fillStyle = dark ? "#fff" : "#1c1408";
    const [plain, brief] = [plainName(frame.name), briefName(frame.name)];
    const text = plain.length > letters ? brief : plain;
    context.fillText(text.length > letters ? `${text.slice(0, letters - 1)}…` : text, x + 4, y + ROW_PX / 2);
  }
}
