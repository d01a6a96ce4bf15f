import { expect, it } from "vitest";
import { appendMetrics, defaultMetrics, type MetricHistory } from "./metrics";

it("metrics gather point by point, and no time twice", () => {
  let history: MetricHistory = appendMetrics({}, 1, { a: 10 });
  history = appendMetrics(history, 2, { a: 11, b: 5 });
  history = appendMetrics(history, 2, { a: 99 });
  expect(history).toEqual({ a: { at: [1, 2], values: [10, 11] }, b: { at: [2], values: [5] } });
});

it("metrics are kept for a while only", () => {
  let history: MetricHistory = {};
  for (let at = 1; at <= 305; at += 1) history = appendMetrics(history, at, { a: at });
  expect(history.a?.at[0]).toBe(6);
  expect(history.a?.values).toHaveLength(300);
});

it("metrics that are shown at first are those that matter, or any", () => {
  expect(defaultMetrics(["z", "busy", "in"], ["in", "busy", "gone"], 2)).toEqual(["in", "busy"]);
  expect(defaultMetrics(["z", "y"], ["in"], 1)).toEqual(["y"]);
});
