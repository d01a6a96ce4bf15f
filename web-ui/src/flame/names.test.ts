import { expect, it } from "vitest";
import { briefName, plainName } from "./names";

const LONG = "nexmark.wasm!<millrace[5eacd8686b98f6d8]::operator::WatermarkStrategy<nexmark[6f45e520dbc596eb]::Event>>::new::<<nexmark[6f45e520dbc596eb]::Event>::time>::{closure#0}";

it("names lose the module and the digests of crates", () => {
  expect(plainName("faulty.wasm!faulty[5eacd8686b98f6d8]::fail::<u8>")).toBe("faulty::fail::<u8>");
  expect(plainName("(host) works outside of guests!")).toBe("(host) works outside of guests!");
});

it("in short they are the type and the function", () => {
  expect(briefName(LONG)).toBe("WatermarkStrategy::new::{closure#0}");
  expect(briefName("a.wasm!<app::Words<u8> as app::Operator>::process")).toBe("Words::process");
  expect(briefName("a.wasm!alloc::vec::Vec<T>::push")).toBe("Vec::push");
  expect(briefName("a.wasm!millrace:app/operator@0.3.0#process")).toBe("millrace:app/operator@0.3.0#process");
  expect(briefName("memcpy")).toBe("memcpy");
});
