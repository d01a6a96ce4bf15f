/**
 * How the dashboard fares with a job of 60 vertices at parallelism 128 and with 1,000 jobs: when something is painted
 * first, and the longest task of the page while things change; and how much there is to load. `just ui-bench`; the limits are
 * those of the project.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { nativeBundle, wideBundle } from "../support/bundle.js";
import { launch, open } from "../support/browser.js";
import { Cluster, exampleBundle, repository, until } from "../support/cluster.js";

const FIRST_PAINT_MS_MAX = 1_000;
const TASK_MS_MAX = 100;
const BUNDLE_BYTES_MAX = 600_000;
const JOBS = 1_000;
const VERTICES = 60;
const PARALLELISM = 128;

/** How long a page is watched while things change. */
const WATCHED_MS = 15_000;

/** Requests to run a job that are under way at once. */
const RUNS_AT_ONCE = 8;

let cluster;
let browser;
let small;

before(async () => {
  // Slots for the large job and others; thousands of tasks on few processors answer late.
  cluster = await Cluster.start(1, PARALLELISM + 4, ["-D", "jobstore.max-capacity=2000", "-D", "heartbeat.timeout=10 s"]);
  browser = await launch();
  const nodes = {
    from: 'native-source = { connector = "datagen", options = { kind = "sequence", rows = 1 } }',
    to: 'native-sink = { connector = "discard" }',
  };
  small = await cluster.upload(nativeBundle("small", nodes, [["from", "to"]]), "small.mrb");
  await runMany(JOBS);
  await until("all jobs have ended", async () => (await cluster.get("/overview"))["jobs-finished"] >= JOBS, 600_000);
});

after(async () => {
  await browser?.close();
  await cluster?.stop();
});

async function runMany(count) {
  let left = count;
  const runner = async () => {
    while (left > 0) {
      left -= 1;
      await cluster.run(small, { options: { "pipeline.name": `job ${left}` } });
    }
  };
  await Promise.all(Array.from({ length: RUNS_AT_ONCE }, runner));
}

/** Opens a page, watches it while `meanwhile` goes on, and says what it took. */
async function measure(place, ready, meanwhile) {
  const page = await open(browser, `${cluster.url}#/${place}`, {
    first: () => {
      globalThis.tasks = [];
      new PerformanceObserver((list) => globalThis.tasks.push(...list.getEntries().map(({ startTime, duration }) => ({ startTime, duration }))))
        .observe({ type: "longtask", buffered: true });
    },
  });
  await ready(page);
  const settled = await page.evaluate(() => performance.now());
  await Promise.all([meanwhile(), sleep(WATCHED_MS)]);
  const found = await page.evaluate(() => ({
    tasks: globalThis.tasks,
    paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
  }));
  await page.context().close();
  const longest = (tasks) => Math.round(Math.max(0, ...tasks.map(({ duration }) => duration)));
  const updating = longest(found.tasks.filter(({ startTime }) => startTime >= settled));
  console.log(`${place.replace(/[0-9a-f]{32}/g, "ID")}: first paint ${Math.round(found.paint)} ms, longest task ${updating} ms while updating, ` +
    `${longest(found.tasks)} ms in all, shown after ${Math.round(settled)} ms`);
  assert.ok(found.paint < FIRST_PAINT_MS_MAX, `first paint after ${found.paint} ms`);
  assert.ok(updating <= TASK_MS_MAX, `a task of ${updating} ms while updating`);
}

test("all that there is to load, compressed", () => {
  const dist = join(repository, "web-ui/dist");
  const files = readdirSync(dist, { recursive: true }).map((name) => join(dist, name)).filter((path) => statSync(path).isFile());
  const bytes = files.reduce((sum, path) => sum + gzipSync(readFileSync(path)).length, 0);
  console.log(`${files.length} files of ${bytes} bytes`);
  assert.ok(bytes > 0 && bytes < BUNDLE_BYTES_MAX, `${bytes} bytes`);
});

test("1,000 jobs in the list, and more that come and go", async () => {
  await measure("overview", (page) => page.getByTestId("jobs-completed").getByText("1,0").first().waitFor(), async () => {
    for (let round = 0; round < 5; round += 1) {
      await runMany(10);
      await sleep(1_000);
    }
  });
});

test("a job of 60 vertices that run at parallelism 128", async () => {
  const bundle = await cluster.upload(wideBundle(VERTICES, PARALLELISM), "wide.mrb");
  const job = await cluster.run(bundle, { parallelism: PARALLELISM });
  const isRunning = ({ status, tasks }) => status === "RUNNING" && tasks.RUNNING === PARALLELISM;
  const { vertices } = await until("all tasks run", async () => {
    const details = await cluster.get(`/jobs/${job}`);
    return details.vertices.every(isRunning) ? details : undefined;
  });
  assert.equal(vertices.length, VERTICES);
  const ready = (page) => page.getByTestId("graph").getByRole("button", { name: "source0" }).first().waitFor();
  await measure(`job/${job}`, ready, () => runMany(10));
  await measure(`job/${job}/graph?vertex=${vertices[0].id}&panel=subtasks`, ready, () => sleep(0));
  await cluster.request("PATCH", `/jobs/${job}?mode=cancel`);
  await cluster.waitFor(job, "CANCELED");
});

test("a job of an example while it works", async () => {
  const bundle = await cluster.upload(exampleBundle("nexmark"), "nexmark.mrb");
  const options = { "execution.checkpointing.interval": "500 ms" };
  const job = await cluster.run(bundle, { args: ["--query", "q5", "--rate", "5000"], options });
  await cluster.waitFor(job, "RUNNING");
  await measure(`job/${job}/graph`, (page) => page.getByTestId("graph").getByRole("button").first().waitFor(), () => sleep(0));
});
