/**
 * Flame graphs: where frames lie, and which functions take most. A frame is as wide as its value is of the frame that is looked
 * at; children lie below their callers, the widest first, so that the picture stays the same from sample to sample.
 */
import type { FlameNode } from "../api/types";

export interface Frame {
  name: string;
  value: number;
  /** From 0 to 1 of the whole width. */
  x: number;
  width: number;
  depth: number;
  /** Names from the root to this frame. */
  path: readonly string[];
  /** A caller of what is looked at, drawn as wide as all. */
  above: boolean;
}

/** Frames that are narrower than this part of the width are left out, and so are theirs. */
export const WIDTH_MIN = 0.0008;

/** Frames of one picture. */
export const FRAMES_MAX = 6_000;

/** Lays out what is below the frame at `focus`; if that is gone, as far down as it is there. */
export function layFlame(root: FlameNode, focus: readonly string[] = []): Frame[] {
  const frames: Frame[] = [];
  let node = root;
  let path: readonly string[] = [root.name];
  for (const name of focus.slice(1)) {
    const next = node.children?.find((child) => child.name === name);
    if (next === undefined) break;
    frames.push({ name: node.name, value: node.value, x: 0, width: 1, depth: path.length - 1, path, above: true });
    node = next;
    path = [...path, name];
  }
  const waiting = [{ node, path, x: 0, width: 1 }];
  for (let at = 0; at < waiting.length && frames.length < FRAMES_MAX; at += 1) {
    const next = waiting[at];
    if (next === undefined) break;
    frames.push({ name: next.node.name, value: next.node.value, x: next.x, width: next.width, depth: next.path.length - 1, path: next.path, above: false });
    let x = next.x;
    const children = [...(next.node.children ?? [])].sort((a, b) => b.value - a.value || (a.name < b.name ? -1 : 1));
    for (const child of children) {
      const width = next.node.value > 0 ? (child.value / next.node.value) * next.width : 0;
      if (width >= WIDTH_MIN) waiting.push({ node: child, path: [...next.path, child.name], x, width });
      x += width;
    }
  }
  return frames;
}

export interface Hot {
  name: string;
  /** Samples in the function itself. */
  self: number;
  /** Samples in it or in what it calls; one that calls itself counts once. */
  total: number;
}

/** Functions by the samples in themselves, most first. The root is none. */
export function hottest(root: FlameNode, most: number): Hot[] {
  const found = new Map<string, Hot>();
  const walk = (node: FlameNode, callers: ReadonlySet<string>, isRoot: boolean) => {
    const below = (node.children ?? []).reduce((sum, child) => sum + child.value, 0);
    if (!isRoot) {
      const hot = found.get(node.name) ?? { name: node.name, self: 0, total: 0 };
      hot.self += Math.max(0, node.value - below);
      if (!callers.has(node.name)) hot.total += node.value;
      found.set(node.name, hot);
    }
    const inside = isRoot ? callers : new Set([...callers, node.name]);
    for (const child of node.children ?? []) walk(child, inside, false);
  };
  walk(root, new Set(), true);
  return [...found.values()].sort((a, b) => b.self - a.self || b.total - a.total || (a.name < b.name ? -1 : 1)).slice(0, most);
}

/** The frame at a place; `x` from 0 to 1. */
export function frameAt(frames: readonly Frame[], x: number, depth: number): Frame | null {
  return frames.find((frame) => frame.depth === depth && x >= frame.x && x < frame.x + frame.width) ?? null;
}

/** A hue for a name that is always the same, out of the warm part of the circle. */
export function hueOf(name: string): number {
  let hash = 7;
  for (let at = 0; at < name.length; at += 1) hash = (hash * 31 + name.charCodeAt(at)) % 9_973;
  return 12 + (hash % 40);
}
