/** Every page, in light and dark, on a desk and in a pocket: pictures of it, and no grave fault of accessibility. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessibility, launch, open, overflow, screenshot, WIDTHS } from "./support/browser.js";
import { Cluster, exampleBundle, until } from "./support/cluster.js";

const SCHEMES = ["light", "dark"];
const VERTEX_PANELS = [
  "load", "subtasks", "flamegraph", "metrics", "backpressure", "watermarks", "accumulators", "taskmanagers", "peek", "log",
];

let cluster;
let browser;
/** Names and places of all pages. */
let pages;

before(async () => {
  cluster = await Cluster.start(3, 2);
  const [nexmark, faulty] = await Promise.all(
    ["nexmark", "faulty"].map((name) => cluster.upload(exampleBundle(name), `${name}.mrb`)),
  );
  const options = { "execution.checkpointing.interval": "500 ms" };
  const [running, failed, ended] = await Promise.all([
    cluster.run(nexmark, { args: ["--query", "q5", "--rate", "2000"], parallelism: 2, options }),
    cluster.run(faulty, { args: ["panic-at-1000"] }),
    cluster.run(nexmark, { args: ["--query", "q2", "--events", "1000"] }),
  ]);
  await Promise.all([cluster.waitFor(running, "RUNNING"), cluster.waitFor(failed, "FAILED"), cluster.waitFor(ended, "FINISHED")]);
  await until("checkpoints are complete", async () => (await cluster.get(`/jobs/${running}/checkpoints`)).counts.completed > 2);
  const { vertices } = await cluster.get(`/jobs/${running}`);
  const { taskmanagers } = await cluster.get("/taskmanagers");
  const panels = VERTEX_PANELS.map((panel) => [`job-vertex-${panel}`, `job/${running}/graph?vertex=${vertices.at(-1).id}&panel=${panel}`]);
  const tabs = ["graph", "checkpoints", "exceptions", "log", "configuration", "timeline"];
  const members = ["group", "metrics", "configuration", "log"];
  pages = {
    overview: "overview",
    submit: "submit",
    "submit-bundle": `submit?bundle=${nexmark}`,
    ...Object.fromEntries(tabs.map((tab) => [`job-${tab}`, `job/${running}/${tab}`])),
    ...Object.fromEntries(panels),
    "job-failed": `job/${failed}/exceptions`,
    "job-ended": `job/${ended}`,
    "job-unknown": `job/${"0".repeat(32)}`,
    taskmanagers: "taskmanagers",
    taskmanager: `taskmanager/${encodeURIComponent(taskmanagers[0].id)}`,
    ...Object.fromEntries(members.map((tab) => [`jobmanagers-${tab}`, `jobmanagers/${tab}`])),
    nowhere: "no/such/page",
  };
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await cluster?.stop();
});

/** Goes to a page and waits until it has what it wants to show. */
async function visit(page, place) {
  await page.evaluate((hash) => { window.location.hash = hash; }, `#/${place}`);
  await page.locator("main").waitFor();
  await page.waitForFunction(() => document.querySelector('[data-testid="loading"], [aria-busy="true"]') === null);
}

test("every page fits its window, can be used without eyes or mouse, and has its picture taken", async () => {
  /** By fault, since pages share their parts: where it was seen first, and on how many pages. */
  const wrong = new Map();
  const note = (fault, where) => wrong.set(fault, { where: wrong.get(fault)?.where ?? where, pages: (wrong.get(fault)?.pages ?? 0) + 1 });
  for (const width of Object.keys(WIDTHS).map(Number)) {
    for (const scheme of SCHEMES) {
      const page = await open(browser, cluster.url, { width, scheme });
      for (const [name, place] of Object.entries(pages)) {
        const variant = `${name}-${scheme}-${width}`;
        await visit(page, place);
        await screenshot(page, variant);
        const wide = await overflow(page);
        if (wide > 0) note("wider than its window", `${variant}, by ${wide} pixels`);
        // What differs with the width is the layout: one scheme at each width is enough.
        if ((scheme === "light") === (width < 1_000)) continue;
        for (const { fault, where } of await accessibility(page)) note(fault, `${variant}: ${where}`);
      }
      page.faults.forEach((fault) => note(fault, `${scheme} at ${width}`));
      await page.context().close();
    }
  }
  assert.deepEqual(Object.fromEntries(wrong), {});
});
