import { describe, expect, it } from "vitest";
import type { FlameNode } from "../api/types";
import { frameAt, hottest, hueOf, layFlame } from "./fold";

const TREE: FlameNode = {
  name: "root", value: 100, children: [
    { name: "split", value: 30, children: [{ name: "memchr", value: 30 }] },
    { name: "count", value: 60, children: [{ name: "hash", value: 20 }, { name: "count", value: 30, children: [{ name: "hash", value: 5 }] }] },
  ],
};

describe("frames", () => {
  it("are as wide as their share, the widest first", () => {
    const frames = layFlame(TREE);
    const at = (name: string, depth: number) => frames.find((frame) => frame.name === name && frame.depth === depth);
    expect(at("count", 1)).toMatchObject({ x: 0, width: 0.6, above: false });
    expect(at("split", 1)).toMatchObject({ x: 0.6, width: 0.3 });
    expect(at("memchr", 2)?.x).toBeCloseTo(0.6);
    expect(frames).toHaveLength(7);
  });

  it("fill the width below the one that is looked at, with its callers above", () => {
    const frames = layFlame(TREE, ["root", "split"]);
    expect(frames.map(({ name, width, above }) => [name, width, above])).toEqual([["root", 1, true], ["split", 1, false], ["memchr", 1, false]]);
  });

  it("go as far down as there is, if what was looked at is gone", () => {
    expect(layFlame(TREE, ["root", "gone", "deeper"])).toHaveLength(7);
  });

  it("that nobody could see are left out", () => {
    const thin: FlameNode = { name: "root", value: 1e6, children: [{ name: "a", value: 1, children: [{ name: "b", value: 1 }] }] };
    expect(layFlame(thin)).toHaveLength(1);
    expect(layFlame({ name: "root", value: 0, children: [{ name: "a", value: 0 }] })).toHaveLength(1);
  });

  it("are found by place", () => {
    const frames = layFlame(TREE);
    expect(frameAt(frames, 0.65, 1)?.name).toBe("split");
    expect(frameAt(frames, 0.95, 1)).toBeNull();
  });

  it("have colours of their own that stay", () => {
    expect(hueOf("count")).toBe(hueOf("count"));
    expect(hueOf("count")).not.toBe(hueOf("split"));
  });
});

it("functions count what they did themselves, and recursion once", () => {
  const found = hottest(TREE, 10);
  expect(found.find(({ name }) => name === "count")).toEqual({ name: "count", self: 35, total: 60 });
  expect(found.find(({ name }) => name === "hash")).toEqual({ name: "hash", self: 25, total: 25 });
  expect(found.map(({ name }) => name)).toEqual(["count", "memchr", "hash", "split"]);
  expect(hottest(TREE, 2)).toHaveLength(2);
});
