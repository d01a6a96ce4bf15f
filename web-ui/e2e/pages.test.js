/** Every page, in light and dark, on a desk and in a pocket: pictures of it, and no grave fault of accessibility. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessibility, launch, open, overflow, screenshot, WIDTHS } from "./support/browser.js";
import { Cluster, exampleBundle, until } from "./support/cluster.js";

const SCHEMES = ["light", "dark"];
const VERTEX_PANELS = [
  "load", "subtasks", "flamegraph", "metrics", "backpressure", "watermarks", "accumulators", "taskmanagers", "peek", "log",
];

/** Each way in which pages are looked at; axe's rules depend on the scheme, or on the layout, but on no more than one of both. */
const VARIANTS = Object.keys(WIDTHS).map(Number).flatMap((width) => SCHEMES.map((scheme) => ({ width, scheme, checked: (scheme === "dark") === (width < 1_000) })));

let cluster;
let browser;
/** A page of the browser for each variant. */
let views;

before(async () => {
  [cluster, browser] = await Promise.all([Cluster.start(3, 2), launch()]);
  views = await Promise.all(VARIANTS.map(async (variant) => ({ ...variant, page: await open(browser, cluster.url, variant) })));
});

after(async () => {
  await browser?.close();
  await cluster?.stop();
});

/** Goes to a page and waits until it has what it wants to show. */
async function visit(page, place) {
  await page.evaluate((hash) => {
    window.location.hash = hash;
    window.scrollTo(0, 0);
  }, `#/${place}`);
  await page.locator("main").waitFor();
  await page.waitForFunction(() => document.querySelector('[data-testid="loading"], [aria-busy="true"], .chartwait') === null);
}

/** Looks at pages, by name and place, in each variant. Tells by fault, since pages share their parts, where it was seen first, and how often. */
async function look(pages) {
  const wrong = new Map();
  const note = (fault, where) => wrong.set(fault, { where: wrong.get(fault)?.where ?? where, pages: (wrong.get(fault)?.pages ?? 0) + 1 });
  const lookAs = async ({ page, width, scheme, checked }) => {
    for (const [name, place] of Object.entries(pages)) {
      const variant = `${name}-${scheme}-${width}`;
      if (place !== null) await visit(page, place);
      await screenshot(page, variant);
      const wide = await overflow(page);
      if (wide > 0) note("wider than its window", `${variant}, by ${wide} pixels`);
      if (!checked) continue;
      for (const { fault, where } of await accessibility(page)) note(fault, `${variant}: ${where}`);
    }
    page.faults.forEach((fault) => note(fault, `${scheme} at ${width}`));
  };
  await Promise.all(views.map(lookAs));
  assert.deepEqual(Object.fromEntries(wrong), {});
}

test("pages of a cluster on which nothing has run yet", async () => {
  await look({ "empty-overview": "overview", "empty-submit": "submit", nowhere: "no/such/page" });
});

test("a job that is held up by what it does", async () => {
  const faulty = await cluster.upload(exampleBundle("faulty"), "faulty.mrb");
  const slow = await cluster.run(faulty, { args: ["slow"], options: { "pipeline.name": "slow" } });
  await cluster.waitFor(slow, "RUNNING");
  await look({ "job-slow": `job/${slow}` });
  // It keeps a processor busy.
  await cluster.request("PATCH", `/jobs/${slow}?mode=cancel`);
  await cluster.waitFor(slow, "CANCELED");
});

test("every page fits its window, can be used without eyes or mouse, and has its picture taken", async () => {
  const [nexmark, faulty] = await Promise.all(
    ["nexmark", "faulty"].map((name) => cluster.upload(exampleBundle(name), `${name}.mrb`)),
  );
  const options = { "execution.checkpointing.interval": "500 ms" };
  const [running, failed, ended] = await Promise.all([
    cluster.run(nexmark, { args: ["--query", "q5", "--rate", "2000", "--events-per-second", "500"], parallelism: 2, options }),
    cluster.run(faulty, { args: ["panic-at-1000"] }),
    cluster.run(nexmark, { args: ["--query", "q2", "--events", "1000"] }),
  ]);
  await Promise.all([cluster.waitFor(running, "RUNNING"), cluster.waitFor(failed, "FAILED"), cluster.waitFor(ended, "FINISHED")]);
  await until("checkpoints are complete", async () => (await cluster.get(`/jobs/${running}/checkpoints`)).counts.completed > 2);
  const { vertices } = await cluster.get(`/jobs/${running}`);
  const { taskmanagers } = await cluster.get("/taskmanagers");
  const panels = VERTEX_PANELS.map((panel) => [`job-vertex-${panel}`, `job/${running}/graph?vertex=${vertices[0].id}&panel=${panel}`]);
  const tabs = ["graph", "checkpoints", "exceptions", "log", "configuration", "timeline"];
  const members = ["group", "metrics", "configuration", "log"];
  await look({
    overview: "overview",
    submit: "submit",
    "submit-bundle": `submit?bundle=${faulty}`,
    ...Object.fromEntries(tabs.map((tab) => [`job-${tab}`, `job/${running}/${tab}`])),
    ...Object.fromEntries(panels),
    "job-failed": `job/${failed}/exceptions`,
    "job-ended": `job/${ended}`,
    "job-unknown": `job/${"0".repeat(32)}`,
    taskmanagers: "taskmanagers",
    taskmanager: `taskmanager/${encodeURIComponent(taskmanagers[0].id)}`,
    ...Object.fromEntries(members.map((tab) => [`jobmanagers-${tab}`, `jobmanagers/${tab}`])),
  });
});

test("pages that lack an answer, and those whose cluster is gone", async () => {
  for (const { page } of views) {
    await page.route("**/v1/jars", () => {});
    await page.reload();
    await page.evaluate(() => { window.location.hash = "#/submit"; });
    await page.getByTestId("loading").first().waitFor();
  }
  await look({ loading: null });
  await cluster.jobManager.kill();
  for (const { page } of views) {
    await page.evaluate(() => { window.location.hash = "#/overview"; });
    await page.getByTestId("disconnected").waitFor();
  }
  await look({ disconnected: null });
});
