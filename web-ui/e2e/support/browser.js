/** Chromium with the dashboard in it, what a person does there, and what axe-core says of it. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import { repository } from "./cluster.js";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--no-first-run",
];

/** A folder with a build of the page that is to be tried in place of the one that the binary holds. */
const PAGE = process.env.MILLRACE_PAGE;

/** How long an action may take. */
const TIMEOUT_MS = 30_000;

/** The widths at which pages are looked at: a desk's and a pocket's. */
export const WIDTHS = { 1440: 900, 390: 844 };

export const SCREENSHOTS = join(repository, "target/screenshots");

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export function launch() {
  return chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS });
}

/** A page that notes what goes wrong in it: `faults`. `first` is run in it before anything of its own. */
export async function open(browser, url, { width = 1440, scheme = "light", first } = {}) {
  const context = await browser.newContext({
    viewport: { width, height: WIDTHS[width] ?? 900 }, colorScheme: scheme, reducedMotion: "reduce",
  });
  context.setDefaultTimeout(TIMEOUT_MS);
  if (PAGE !== undefined) await serveFrom(resolve(PAGE), context, new URL(url));
  const page = await context.newPage();
  if (first !== undefined) await page.addInitScript(first);
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(`${error}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !isOfNetwork(message.text())) page.faults.push(message.text());
  });
  await page.goto(url);
  return page;
}

/** Serves what is in a folder instead of the server's files, with the headers that the server gives to its page. */
async function serveFrom(folder, context, { origin }) {
  const headers = Object.fromEntries((await fetch(`${origin}/`)).headers);
  const type = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
  const fileOf = ({ pathname }) => join(folder, pathname === "/" ? "index.html" : pathname);
  await context.route((url) => url.origin === origin && !url.pathname.startsWith("/v1") && existsSync(fileOf(url)), (route) => {
    const file = fileOf(new URL(route.request().url()));
    const policy = headers["content-security-policy"] ?? "";
    route.fulfill({ body: readFileSync(file), headers: { "content-security-policy": policy, "content-type": type[file.split(".").at(-1)] } });
  });
}

/** The browser itself writes a line about every answer that is no success; what pages make of it is for tests to see. */
function isOfNetwork(text) {
  return text.startsWith("Failed to load resource");
}

/** Faults of accessibility that axe-core calls serious or critical. Its script is run by the driver: pages take none. */
export async function accessibility(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    return grave.map(({ id, help, nodes }) => ({ fault: `${id}: ${help}`, where: nodes.map((node) => node.target.join(" ")).join(", ") }));
  });
  return found;
}

/** Drops bytes as a file onto what a selector finds, as a person drags it there. */
export async function drop(page, target, bytes, name) {
  const transfer = await page.evaluateHandle(
    ([text, name]) => {
      const transfer = new DataTransfer();
      const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
      transfer.items.add(new File([bytes], name));
      return transfer;
    },
    [bytes.toString("base64"), name],
  );
  for (const event of ["dragenter", "dragover", "drop"]) {
    await target.dispatchEvent(event, { dataTransfer: transfer });
  }
}

/** A picture of the whole page. */
export async function screenshot(page, name) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** How much wider the page is than its window, in pixels: whoever reads it should not have to scroll sideways. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
