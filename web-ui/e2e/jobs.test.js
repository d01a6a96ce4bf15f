/** What people do with jobs, in a real browser on a real cluster whose TaskManagers die. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { join } from "node:path";
import { drop, launch, open, screenshot } from "./support/browser.js";
import { Cluster, exampleBundle, until } from "./support/cluster.js";

/** A job that never ends, goes on from its checkpoints, and takes another parallelism. */
const OPTIONS = {
  "execution.checkpointing.interval": "500 ms",
  "restart-strategy.type": "fixed-delay",
  "restart-strategy.fixed-delay.attempts": "100",
  // Long enough to be seen on the page.
  "restart-strategy.fixed-delay.delay": "3 s",
  "jobmanager.scheduler": "adaptive",
};

let cluster;
let browser;
let page;
/** The job that is submitted first, and watched by all that follow. */
let job;

before(async () => {
  cluster = await Cluster.start(3, 2);
  browser = await launch();
  page = await open(browser, cluster.url);
});

after(async () => {
  await browser?.close();
  await cluster?.stop();
});

afterEach(async (context) => {
  if (context.error !== undefined && context.error !== null) await screenshot(page, `failed-${context.name.replaceAll(/\W+/g, "-")}`);
});

/** Waits until the job on the page is in a state. */
function stateIs(state) {
  return page.getByTestId("job-state").filter({ hasText: new RegExp(`^${state}$`, "i") }).waitFor();
}

/** Asks the page for a number until it is as wanted. */
function numberOf(locator, attribute, isWanted) {
  return until(`${attribute} is as wanted`, async () => {
    const number = Number.parseFloat((await locator.getAttribute(attribute)) ?? "NaN");
    return isWanted(number) ? { number } : undefined;
  });
}

/** The label of an edge out of a vertex, which has its rate. */
function edgeFrom({ id }) {
  return page.locator(`[data-testid^="edge-${id}-"]`);
}

/** Waits until the watermark of what reads the source is another than it was. */
async function watermarkMoves() {
  const { vertices } = await cluster.get(`/jobs/${job}`);
  const consumer = page.getByTestId(`vertex-${vertices[1].id}`);
  const watermark = async () => /watermark\D*(\d.*)$/.exec(await consumer.textContent())?.[1];
  const first = await until("there is a watermark", watermark);
  await until("the watermark moves", async () => (await watermark()) !== first);
}

/** Opens a dialog of the job's actions and returns it. */
async function dialogOf(action) {
  await page.getByRole("group", { name: "Actions" }).getByRole("button", { name: action }).click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  return dialog;
}

test("a bundle that is dropped shows what it is and what it would do, and runs", async () => {
  await page.getByRole("link", { name: "Submit" }).click();
  await drop(page, page.getByTestId("drop-zone"), exampleBundle("nexmark"), "nexmark.mrb");
  await page.getByTestId("manifest").getByText("nexmark").first().waitFor();
  await page.getByLabel("Arguments").fill("--query q5 --rate 5000 --events-per-second 500");
  await page.getByLabel("Parallelism").fill("2");
  await page.getByLabel("Options").fill(Object.entries(OPTIONS).map((option) => option.join("=")).join("\n"));
  await page.getByTestId("plan").getByText("Source: events").first().waitFor();
  await page.getByRole("button", { name: "Run the job" }).click();
  await stateIs("RUNNING");
  [, job] = /#\/job\/([0-9a-f]{32})/.exec(page.url());
  assert.equal((await cluster.get(`/jobs/${job}/config`))["execution-config"]["job-parallelism"], 2);
});

test("the graph moves: records flow, and watermarks with them", async () => {
  const { vertices } = await cluster.get(`/jobs/${job}`);
  await numberOf(edgeFrom(vertices[0]), "data-rate", (found) => found > 1_000);
  await watermarkMoves();
  assert.equal(await page.getByTestId("connection").getAttribute("data-state"), "live");
});

test("records of an edge can be looked at", async () => {
  const { vertices } = await cluster.get(`/jobs/${job}`);
  await page.getByTestId(`vertex-${vertices[0].id}`).click();
  const panel = page.getByTestId("vertex-panel");
  await panel.getByRole("tab", { name: "Peek" }).click();
  await panel.getByRole("button", { name: "Look at records" }).click();
  await panel.getByRole("list", { name: "Records" }).getByRole("listitem").first().waitFor();
  await panel.getByRole("button", { name: "Close the vertex" }).click();
});

test("a savepoint is taken into the folder that is named", async () => {
  const dialog = await dialogOf("Savepoint");
  const folder = join(cluster.folder, "savepoints");
  await dialog.getByLabel("Folder of the savepoint").fill(folder);
  await dialog.getByRole("button", { name: "Take the savepoint" }).click();
  await page.getByText("The savepoint is complete").waitFor();
  const { latest } = await cluster.get(`/jobs/${job}/checkpoints`);
  assert.ok(latest.savepoint.external_path.startsWith(`file:${folder}`) || latest.savepoint.external_path.startsWith(folder), latest.savepoint.external_path);
});

test("a job whose TaskManagers die recovers each time and tells why", async () => {
  await until("a checkpoint is complete", async () => (await cluster.get(`/jobs/${job}/checkpoints`)).counts.completed > 0);
  // The first restart is immediate.
  await cluster.killTaskManager(await cluster.running(job));
  await page.getByRole("tab", { name: "Exceptions 1" }).click();
  await page.getByTestId("root-exception").getByText(/TaskManager/).first().waitFor();
  await until("all tasks run again", async () => (await cluster.get(`/jobs/${job}`)).vertices.every(({ status }) => status === "RUNNING"));
  // The next one waits.
  await cluster.killTaskManager(await cluster.running(job));
  await stateIs("RESTARTING");
  await stateIs("RUNNING");
  await page.getByRole("tab", { name: "Graph" }).click();
  await watermarkMoves();
  await cluster.addTaskManager();
  await page.getByRole("link", { name: "TaskManagers" }).click();
  const taskManagers = page.getByTestId("slot-map").getByRole("link", { name: /-/ });
  await until("the page shows who is left and who came", async () => (await taskManagers.count()) === 2);
});

test("all of it works by keyboard: focus is seen, dialogs keep it and give it back", async () => {
  await page.goto(`${cluster.url}#/job/${job}`);
  await stateIs("RUNNING");
  await page.evaluate(() => document.activeElement?.blur());
  const action = page.getByRole("group", { name: "Actions" }).getByRole("button", { name: "Rescale" });
  const focused = () => page.evaluate(() => {
    const { activeElement: element } = document;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    return { text: element.textContent, isSeen: outlineStyle !== "none" && Number.parseFloat(outlineWidth) > 0, inDialog: element.closest('[role="dialog"]') !== null };
  });
  for (let presses = 0; !(await action.evaluate((button) => button === document.activeElement)); presses += 1) {
    assert.ok(presses < 30, "the button is out of reach of the Tab key");
    await page.keyboard.press("Tab");
    const { text, isSeen } = await focused();
    assert.ok(isSeen, `no one sees that the focus is on "${text}"`);
  }
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Rescale the job?" });
  await dialog.getByRole("button", { name: "Do nothing" }).and(page.locator(":focus")).waitFor();
  for (let presses = 0; presses < 12; presses += 1) {
    await page.keyboard.press("Tab");
    assert.ok((await focused()).inDialog, "the focus left the dialog");
  }
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await action.and(page.locator(":focus")).waitFor();
});

test("a running job takes another parallelism", async () => {
  await page.goto(`${cluster.url}#/job/${job}`);
  await stateIs("RUNNING");
  const dialog = await dialogOf("Rescale");
  await dialog.getByLabel("All vertices").fill("1");
  await dialog.getByRole("button", { name: "Rescale" }).click();
  await until("it has one subtask each", async () => {
    const { state, vertices } = await cluster.get(`/jobs/${job}`);
    return state === "RUNNING" && vertices.every(({ parallelism }) => parallelism === 1);
  });
  await page.getByTestId("graph").getByText("×1").first().waitFor();
});

test("a consumer that is too slow holds its producer up, and the graph shows it", async () => {
  const bundle = await cluster.upload(exampleBundle("faulty"), "faulty.mrb");
  const slow = await cluster.run(bundle, { args: ["slow"] });
  const { vertices } = await cluster.waitFor(slow, "RUNNING");
  await page.goto(`${cluster.url}#/job/${slow}`);
  const [source, consumer] = vertices.map(({ id }) => page.getByTestId(`vertex-${id}`));
  await numberOf(source, "data-backpressured", (share) => share > 0.5);
  await numberOf(consumer, "data-busy", (share) => share > 0.5);
  await cluster.request("PATCH", `/jobs/${slow}?mode=cancel`);
  await stateIs("CANCELED");
});

test("a job that is stopped with a savepoint goes on from it", async () => {
  await page.goto(`${cluster.url}#/job/${job}`);
  await stateIs("RUNNING");
  const folder = join(cluster.folder, "stopped");
  const dialog = await dialogOf("Stop");
  await dialog.getByLabel("Folder of the savepoint").fill(folder);
  await dialog.getByRole("button", { name: "Stop the job" }).click();
  await page.getByText("nexmark q5 has stopped").waitFor();
  await stateIs("FINISHED");
  const { latest } = await cluster.get(`/jobs/${job}/checkpoints`);
  assert.ok(latest.savepoint.external_path.includes(folder), latest.savepoint.external_path);
  const stopped = job;
  await page.getByRole("link", { name: "Submit" }).click();
  await page.getByRole("list", { name: "Bundles" }).getByRole("button", { name: /^nexmark/ }).click();
  await page.getByLabel("Arguments").fill("--query q5 --rate 5000 --events-per-second 500");
  await page.getByRole("textbox", { name: "Savepoint" }).fill(latest.savepoint.external_path);
  await page.getByRole("button", { name: "Run the job" }).click();
  await stateIs("RUNNING");
  [, job] = /#\/job\/([0-9a-f]{32})/.exec(page.url());
  assert.notEqual(job, stopped);
  await page.getByRole("tab", { name: "Checkpoints" }).click();
  await page.getByText(latest.savepoint.external_path).first().waitFor();
});

test("a job is cancelled when that is confirmed, and not before", async () => {
  await page.goto(`${cluster.url}#/job/${job}`);
  const asked = await dialogOf("Cancel");
  await asked.getByRole("button", { name: "Do nothing" }).click();
  await asked.waitFor({ state: "hidden" });
  assert.equal((await cluster.get(`/jobs/${job}`)).state, "RUNNING");
  const dialog = await dialogOf("Cancel");
  await dialog.getByRole("button", { name: "Cancel the job" }).click();
  await stateIs("CANCELED");
  await page.getByRole("link", { name: "Overview" }).click();
  await page.getByTestId("jobs-completed").locator(`a[href="#/job/${job}"]`).waitFor();
});

test("a cluster that is gone is told, and nothing broke on the way", async () => {
  await cluster.jobManager.kill();
  await page.locator('[data-testid="connection"][data-state="disconnected"]').waitFor();
  assert.deepEqual(page.faults, []);
});
