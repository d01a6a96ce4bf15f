import { expect, it } from "vitest";
import type { AllocatedSlot } from "../../api/types";
import { jobHue, slotsOf } from "./slots";

const slot = (jobId: string) => ({ jobId }) as AllocatedSlot;

it("slots are those of jobs, those that are taken by nobody knows whom, and free ones", () => {
  expect(slotsOf({ slotsNumber: 4, freeSlots: 1 }, [slot("b"), slot("a")])).toEqual(["a", "b", "", null]);
  expect(slotsOf({ slotsNumber: 2, freeSlots: 2 }, undefined)).toEqual([null, null]);
});

it("a job's hue is on the circle", () => {
  expect(jobHue("ffffff00")).toBeLessThan(360);
  expect(jobHue("")).toBe(190);
});
