// Builds the component `splitter`: JavaScript and an engine to run it, in target/splitter.wasm.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

import { componentize } from "componentize-qjs";

const here = (path) => new URL(path, import.meta.url).pathname;

const { component } = await componentize({
  witPath: here("../../sdk/wit"),
  world: "operators",
  jsPath: here("src/splitter.js"),
  jsSource: readFileSync(here("src/splitter.js"), "utf8"),
  moduleRoot: here("src"),
  stubWasi: true,
  // Calls are synchronous exports: the host refuses the ABI of asynchronous ones.
  sync: true,
});
mkdirSync(here("target"), { recursive: true });
writeFileSync(here("target/splitter.wasm"), component);
