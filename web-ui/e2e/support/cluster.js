/**
 * A cluster of real processes: a JobManager and TaskManagers, with their data in a folder of their own. They die with the
 * test's process, however it ends.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const repository = resolve(import.meta.dirname, "../../..");

/** How long anything may take before a test gives up. Generous: machines are slow and busy. */
const PATIENCE_MS = 60_000;
const POLL_MS = 50;

const program = process.env.MILLRACE_BINARY ?? join(repository, "target/release/millrace");

/** Asks until the answer is one. */
export async function until(what, ask, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) return answer;
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(POLL_MS);
  }
}

/** A process that says on standard output where it listens. */
async function start(folder, name, args) {
  const [out, log] = [join(folder, `${name}.out`), join(folder, `${name}.log`)];
  const setpriv = existsSync("/usr/bin/setpriv") ? ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"] : [];
  const [command, ...rest] = [...setpriv, program, ...args];
  const child = spawn(command, rest, { stdio: ["ignore", openSync(out, "w"), openSync(log, "a")] });
  const exited = new Promise((done) => child.once("exit", done));
  const announcement = await until(`${name} says that it is up`, () => {
    if (child.exitCode !== null) throw new Error(`${name} did not start: ${readFileSync(log, "utf8")}`);
    const text = readFileSync(out, "utf8");
    return text.includes("\n") ? text : undefined;
  });
  const kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  return { name, announcement, kill, pid: child.pid };
}

export class Cluster {
  /** Starts a JobManager and so many TaskManagers of so many slots. */
  static async start(taskManagers, slots, options = []) {
    const cluster = new Cluster();
    cluster.folder = mkdtempSync(join(tmpdir(), "millrace-ui-"));
    cluster.slots = slots;
    cluster.options = ["--file-root", "/", "-D", "heartbeat.timeout=1 s", "-D", "heartbeat.interval=200 ms", ...options];
    cluster.taskManagers = [];
    cluster.started = 0;
    const data = join(cluster.folder, "jm");
    const addresses = ["--listen", "127.0.0.1:0", "--rpc", "127.0.0.1:0"];
    cluster.jobManager = await start(cluster.folder, "jobmanager", ["jobmanager", ...addresses, "--data-dir", data, ...cluster.options]);
    const [, rest, rpc] = /http:\/\/(\S+) .* at (\S+)\.\s/.exec(cluster.jobManager.announcement);
    cluster.address = rest;
    cluster.rpc = rpc;
    await Promise.all(Array.from({ length: taskManagers }, () => cluster.addTaskManager()));
    await until("all slots are there", async () => (await cluster.get("/overview"))["slots-total"] === taskManagers * slots);
    return cluster;
  }

  get url() {
    return `http://${this.address}/`;
  }

  async addTaskManager() {
    this.started += 1;
    const name = `taskmanager-${this.started}`;
    const args = ["taskmanager", "--jobmanager", this.rpc, "--slots", `${this.slots}`, "--data-dir", join(this.folder, name)];
    this.taskManagers.push(await start(this.folder, name, [...args, ...this.options]));
  }

  async request(method, path, body) {
    const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    const answer = await fetch(`http://${this.address}/v1${path}`, { method, ...json });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}: ${text}`);
    return text === "" ? {} : JSON.parse(text);
  }

  get(path) {
    return this.request("GET", path);
  }

  /** Uploads bytes as a bundle and returns its id. */
  async upload(bytes, name) {
    const form = new FormData();
    form.append("jarfile", new Blob([bytes]), name);
    const answer = await fetch(`http://${this.address}/v1/jars/upload`, { method: "POST", body: form });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`upload: ${answer.status}: ${text}`);
    return JSON.parse(text).filename.split("/").pop();
  }

  /** Runs an uploaded bundle and returns the job's id. */
  async run(bundle, { args = [], parallelism = 1, options = {} } = {}) {
    const request = { programArgsList: args, parallelism, flinkConfiguration: options };
    return (await this.request("POST", `/jars/${bundle}/run`, request)).jobid;
  }

  /** Waits until a job is in one of these states. */
  waitFor(job, ...states) {
    return until(`job ${job} is ${states.join(" or ")}`, async () => {
      const details = await this.get(`/jobs/${job}`);
      return states.includes(details.state) ? details : undefined;
    });
  }

  /** Which of the TaskManagers runs tasks of a job, as a position. */
  async running(job) {
    const { vertices } = await this.get(`/jobs/${job}`);
    for (const { id } of vertices) {
      for (const subtask of (await this.get(`/jobs/${job}/vertices/${id}`)).subtasks) {
        const at = this.taskManagers.findIndex((process) => process.announcement.includes(subtask["taskmanager-id"]));
        if (at >= 0) return at;
      }
    }
    throw new Error(`no TaskManager runs tasks of job ${job}`);
  }

  async killTaskManager(at) {
    const [process] = this.taskManagers.splice(at, 1);
    await process.kill();
  }

  async stop() {
    await Promise.all([this.jobManager, ...this.taskManagers].map((process) => process.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The bytes of an example's bundle, which `just guests` builds. */
export function exampleBundle(name) {
  return readFileSync(join(repository, "target/bundles", `${name}.mrb`));
}
