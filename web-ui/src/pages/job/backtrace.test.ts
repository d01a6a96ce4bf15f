import { expect, it } from "vitest";
import { backtraceOf } from "./backtrace";

it("a guest's failure has a message, frames and advice", () => {
  const stacktrace = "MR-TRAP: operator \"breaks\": the guest panicked: at record 1000\n\tat faulty.wasm!faulty[6b359784557da149]::fail\n"
    + "\tat faulty.wasm!millrace:app/operator@0.3.0#process\nWhat to do: look at the innermost frames";
  expect(backtraceOf({ exceptionName: "MR-TRAP", stacktrace })).toEqual({
    message: "operator \"breaks\": the guest panicked: at record 1000",
    frames: [
      { place: "faulty.wasm", name: "faulty::fail" },
      { place: "faulty.wasm", name: "millrace:app/operator@0.3.0#process" },
    ],
    advice: "look at the innermost frames",
  });
});

it("a failure without frames is its message", () => {
  expect(backtraceOf({ exceptionName: "MR-LOST", stacktrace: "the TaskManager at noon is gone" })).toEqual({
    message: "the TaskManager at noon is gone", frames: [], advice: null,
  });
});
