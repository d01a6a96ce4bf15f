import { expect, it } from "vitest";
import { phasesOf, vertexTimestamps, wordsOf } from "./phases";

it("a state lasts until the next, and the last until now", () => {
  expect(phasesOf({ RUNNING: 30, CREATED: 10, FINISHED: 0, DEPLOYING: 20 }, 100)).toEqual([
    { state: "CREATED", from: 10, to: 20 }, { state: "DEPLOYING", from: 20, to: 30 }, { state: "RUNNING", from: 30, to: 100 },
  ]);
});

it("an end lasts no time", () => {
  expect(phasesOf({ RUNNING: 30, FINISHED: 40 }, 100).at(-1)).toEqual({ state: "FINISHED", from: 40, to: 40 });
});

it("a vertex is in a state with its first subtask, and over with its last", () => {
  const one = { timestamps: { RUNNING: 5, FINISHED: 9 } } as never;
  const other = { timestamps: { RUNNING: 7, FINISHED: 0 } } as never;
  const ended = { timestamps: { RUNNING: 7, FINISHED: 20 } } as never;
  expect(vertexTimestamps([one, other])).toEqual({ RUNNING: 5 });
  expect(vertexTimestamps([one, ended])).toEqual({ RUNNING: 5, FINISHED: 20 });
  expect(vertexTimestamps([])).toEqual({});
});

it("states of one colour have one word, in the order of a life", () => {
  expect(wordsOf(["RUNNING", "DEPLOYING", "INITIALIZING", "CREATED", "SCHEDULED", "CANCELED"])).toEqual(["waiting", "starting", "running", "cancelled"]);
  expect(wordsOf([])).toEqual([]);
});
