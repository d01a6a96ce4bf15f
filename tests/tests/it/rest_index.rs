//! Every request that was recorded of a real Flink 2.3, sent again in its order to a cluster of Millrace: status, fields
//! and types are those of the recording, with and without `/v1`; then what is asked of one job, of jobs in all states.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use millrace_tests::checkpoints;
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::repository;
use millrace_types::JobStatus;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rest_shapes::compare;

/// What the recorded session was about.
const JOB: &str = "eb653f9f42cca4aaa03bc8b43336b8ac";
const RESTORED: &str = "a06bede7dcaecf3cc0eb06c35268cfc5";
const SOURCE: &str = "cbc357ccb763df2852fee8c4fc7d55f2";
const SINK: &str = "90bea66de1c231edf33913ecd54406c1";
const TASK_MANAGER: &str = "127.0.0.1:38723-b78c29";
const JAR: &str = "a4a68ed0-757a-430c-9d76-3ba32bdabdcd_bench.jar";
const CHECKPOINT: &str = "/details/6";
const TRIGGERS: [(&str, &str); 4] = [
    ("checkpoint-trigger", "99619e6c6673378b19c30f152616635a"),
    ("savepoint-trigger", "7d4689a69a281745d2b5e3cffbc833ee"),
    ("stop-with-savepoint", "b1c109143e01bed6a6a5400cc581cd21"),
    ("savepoint-disposal", "eb9470e587a8a79de2c186d0dda734a4"),
];

/// Where Flink answers 500 to a client's mistake, Millrace names the mistake.
const NO_SERVER_ERRORS: [(&str, u16); 5] = [
    ("err-tm-404", 404),
    ("err-jar-404", 404),
    ("err-jar-badclass", 400),
    ("err-unknown-field", 400),
    ("job-resource-requirements", 409),
];

/// A line of the index.
struct Recorded {
    name: String,
    method: Method,
    path: String,
    status: u16,
    content_type: String,
    body: Option<String>,
}

fn index() -> Result<Vec<Recorded>> {
    let text = std::fs::read_to_string(repository::root().join("tests/flink/INDEX.txt"))?;
    let line = |line: &str| {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default().to_owned();
        let (file, request, status, content_type, body) = (next(), next(), next(), next(), next());
        let (method, path) = request.split_once(' ').context("a method and a path")?;
        Ok(Recorded {
            name: file.trim_end_matches(".json").to_owned(),
            method: method.parse()?,
            path: path.to_owned(),
            status: status.trim().parse()?,
            content_type,
            body: Some(body).filter(|body| !body.is_empty()),
        })
    };
    text.lines().map(line).collect()
}

/// The recording of an answer with this session's ids in place of the recorded ones, if there is one.
fn recording(name: &str, ids: &BTreeMap<String, String>) -> Result<Option<Value>> {
    let path = repository::root().join(format!("tests/flink/{name}.json"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(serde_json::from_str(&with_ids(&text, ids))?)),
        Err(_) => Ok(None),
    }
}

fn with_ids(text: &str, ids: &BTreeMap<String, String>) -> String {
    ids.iter().fold(text.to_owned(), |text, (recorded, own)| text.replace(recorded, own))
}

struct Session {
    cluster: Cluster,
    http: reqwest::Client,
    savepoints: String,
    /// By recorded id.
    ids: BTreeMap<String, String>,
    savepoint: Option<String>,
    wrong: Vec<String>,
}

impl Session {
    /// How the session's job runs: until it is stopped.
    fn run(&self) -> Value {
        let folder = Path::new(&self.savepoints).with_file_name("rows");
        json!({
            "parallelism": 2,
            "programArgsList": ["--query", "wc", "--events", "100000000", "--rate", "2000", "--output", folder],
            "flinkConfiguration": {
                "execution.checkpointing.interval": "200 ms",
                "restart-strategy.type": "fixed-delay",
                "restart-strategy.fixed-delay.attempts": "5",
                "pipeline.name": "WordCount (REST capture)",
            },
        })
    }

    async fn ask(&self, method: &Method, path: &str, body: Option<String>) -> Result<(u16, String, String)> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.cluster.client.base_url()));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await?;
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        Ok((answer.status().as_u16(), kind.to_owned(), answer.text().await?))
    }

    /// The body that this session sends in place of the recorded one.
    fn body(&self, recorded: &Recorded) -> Option<String> {
        let body = match recorded.name.as_str() {
            "jars-plan" => {
                let mut run = self.run();
                run.as_object_mut()?.remove("savepointPath");
                run
            }
            "jars-run" => self.run(),
            "jars-run-from-savepoint" => {
                let mut run = self.run();
                run["savepointPath"] = json!(self.savepoint);
                run
            }
            "savepoint-trigger" => json!({"target-directory": self.savepoints, "cancel-job": false}),
            "stop-with-savepoint" => json!({"targetDirectory": self.savepoints, "drain": false}),
            "savepoint-disposal" => json!({"savepoint-path": self.savepoint}),
            // The recorded one was no JSON at all.
            "err-badjson" => return Some("{".to_owned()),
            _ => return recorded.body.clone(),
        };
        Some(body.to_string())
    }

    /// What has to have happened before a request is sent.
    async fn prepare(&mut self, name: &str) -> Result<()> {
        let job = |recorded: &str| self.ids.get(recorded).cloned().unwrap_or_default();
        let (first, restored) = (job(JOB), job(RESTORED));
        match name {
            "jobs" => {
                let details = self.cluster.wait_running(&first).await?;
                let figures = checkpoints::wait_for(&self.cluster, &first, |figures| figures.completed >= 1).await?;
                let newest = figures.latest.context("a checkpoint")?;
                self.ids.insert(CHECKPOINT.to_owned(), format!("/details/{newest}"));
                self.ids.insert(SOURCE.to_owned(), details.vertices[0].id.clone());
                self.ids.insert(SINK.to_owned(), details.vertices[1].id.clone());
            }
            "job-finished-after-stop" => {
                self.cluster.wait_for(&first, |details| details.state == JobStatus::Finished).await?;
            }
            "job-checkpoints-restored" => {
                checkpoints::wait_for(&self.cluster, &restored, |figures| figures.completed >= 1).await?;
            }
            "job-canceled" => {
                self.cluster.wait_for(&restored, |details| details.state == JobStatus::Canceled).await?;
            }
            _ => (),
        }
        Ok(())
    }

    /// What an answer says that later requests need.
    fn learn(&mut self, name: &str, answer: &Value) {
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let job = match name {
            "jars-run" => Some(JOB),
            "jars-run-from-savepoint" => Some(RESTORED),
            _ => None,
        };
        if let (Some(recorded), Some(id)) = (job, text("/jobid")) {
            self.ids.insert(recorded.to_owned(), id);
        }
        let trigger = TRIGGERS.iter().find(|(begins, _)| *begins == name);
        if let (Some((_, recorded)), Some(id)) = (trigger, text("/request-id")) {
            self.ids.insert((*recorded).to_owned(), id);
        }
        if name == "stop-status-completed" {
            self.savepoint = text("/operation/location");
        }
    }

    /// Sends a request until its operation has ended, if that is what was recorded.
    async fn answer(&self, recorded: &Recorded, path: &str) -> Result<(u16, String, String)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(&recorded.method, path, self.body(recorded)).await?;
            let goes_on = recorded.name.ends_with("completed") || recorded.name == "savepoint-disposal-status";
            if !goes_on || !answer.2.contains("IN_PROGRESS") {
                return Ok(answer);
            }
            ensure!(Instant::now() < deadline, "{}: {answer:?}", recorded.name);
            tokio::time::sleep(POLL).await;
        }
    }

    async fn replay(&mut self, recorded: &Recorded) -> Result<()> {
        let name = &recorded.name;
        self.prepare(name).await?;
        if name == "jars-upload" {
            let id = self.cluster.client.upload(&repository::bundle("nexmark")?).await?;
            self.ids.insert(JAR.to_owned(), id);
            return Ok(());
        }
        let mut path = with_ids(&recorded.path, &self.ids);
        if name == "jars-plan-get" {
            let folder = Path::new(&self.savepoints).with_file_name("rows");
            path = path.split('?').next().unwrap_or_default().to_owned();
            path.push_str(&format!("?programArg=--query,wc,--events,10,--output,{}", folder.display()));
        }
        let (status, kind, text) = self.answer(recorded, &path).await?;
        let deviation = NO_SERVER_ERRORS.iter().find(|(known, _)| known == name).map(|(_, status)| *status);
        let expected = deviation.unwrap_or(recorded.status);
        if status != expected {
            self.wrong.push(format!("{name}: {path} is answered by {status} and not {expected}: {text}"));
            return Ok(());
        }
        self.check_kind(recorded, &kind, &path);
        if kind.starts_with("application/json") {
            let mut answer: Value = serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))?;
            self.learn(name, &answer);
            // One that is in progress has no end yet.
            if let Some(history) = answer.get_mut("history").and_then(Value::as_array_mut) {
                history.retain(|entry| entry["status"] != "IN_PROGRESS");
            }
            let found = if deviation.is_some() { Some(json!({"errors": [""]})) } else { recording(name, &self.ids)? };
            // What takes no time here has ended by the first look.
            let over = |found: &Value| found["status"]["id"] != answer["status"]["id"];
            if let Some(found) = found.filter(|found| !over(found)) {
                compare(name, &found, &answer, &mut self.wrong);
            }
        }
        if recorded.method == Method::GET {
            let bare = path.strip_prefix("/v1").unwrap_or(&path);
            let again = self.ask(&Method::GET, bare, None).await?.0;
            if again != expected {
                self.wrong.push(format!("{bare} is answered by {again} and not {expected}"));
            }
        }
        Ok(())
    }

    fn check_kind(&mut self, recorded: &Recorded, kind: &str, path: &str) {
        let wanted = recorded.content_type.split(';').next().unwrap_or_default();
        if !wanted.is_empty() && !kind.starts_with(wanted) {
            self.wrong.push(format!("{path} is {kind} and not {wanted}"));
        }
    }
}

#[tokio::test]
async fn the_recorded_session_gives_the_recorded_answers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Two for the job that waits for its restart, three for the one that grows.
    let cluster = Cluster::start(folder.path(), &["--slots", "5", "--file-root", "/"])?;
    let savepoints = folder.path().join("savepoints").to_string_lossy().into_owned();
    let task_manager = cluster.client.task_managers().await?.taskmanagers[0].id.clone();
    let ids = BTreeMap::from([(TASK_MANAGER.to_owned(), task_manager)]);
    let http = reqwest::Client::new();
    let mut session = Session { cluster, http, savepoints, ids, savepoint: None, wrong: Vec::new() };
    let index = index()?;
    assert!(index.len() > 110, "the index is read");
    for recorded in &index {
        session.replay(recorded).await.with_context(|| recorded.name.clone())?;
    }
    in_every_state(&mut session, &index).await?;
    assert!(session.wrong.is_empty(), "{}", session.wrong.join("\n"));
    Ok(())
}

/// What is asked of one job, of jobs in all states. The session has left one that finished and one that was cancelled.
async fn in_every_state(session: &mut Session, index: &[Recorded]) -> Result<()> {
    let cluster = &session.cluster;
    let bundle = repository::bundle("faulty")?;
    let run = |args: &'static str, options: &[(&'static str, &'static str)]| Run {
        args: vec![args],
        parallelism: 2,
        options: options.to_vec(),
        ..Run::default()
    };
    let failed = cluster.run(&bundle, run("panic-at-1000", &[])).await?;
    cluster.wait_failed(&failed).await?;
    // The first failure in a while is answered at once, the second one after the delay.
    let later = [
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "9"),
        ("restart-strategy.fixed-delay.delay", "1 h"),
    ];
    let restarting = cluster.run(&bundle, run("panic-at-1000", &later)).await?;
    let rests = |details: &millrace_client::api::JobDetails| {
        details.state == JobStatus::Restarting && details.vertices.iter().all(|vertex| vertex.status.is_terminal())
    };
    cluster.wait_for(&restarting, rests).await?;
    let adaptive = [("jobmanager.scheduler", "adaptive"), ("execution.checkpointing.interval", "100 ms")];
    let running = cluster.run(&bundle, run("passes", &adaptive)).await?;
    cluster.wait_running(&running).await?;
    checkpoints::wait_for(cluster, &running, |figures| figures.completed >= 1).await?;
    // Figures come a little behind what they tell of.
    cluster.wait_for(&running, |details| details.vertices[0].metrics.write_records > 0).await?;
    let ended = |recorded: &str| session.ids.get(recorded).cloned().context("a job");
    let jobs = [
        (ended(JOB)?, JobStatus::Finished),
        (ended(RESTORED)?, JobStatus::Canceled),
        (failed, JobStatus::Failed),
        (restarting, JobStatus::Restarting),
        (running.clone(), JobStatus::Running),
    ];
    for (job, status) in &jobs {
        walk_job(session, index, job, *status).await.with_context(|| format!("the {status} job"))?;
    }
    rescaled(session, &running).await
}

/// Asks for all that the index has of a job, and looks whether it says what the job did.
async fn walk_job(session: &mut Session, index: &[Recorded], job: &str, status: JobStatus) -> Result<()> {
    let details = session.cluster.client.job(job).await?;
    ensure!(details.state == status, "{}", details.state);
    session.ids.insert(JOB.to_owned(), job.to_owned());
    session.ids.insert(SOURCE.to_owned(), details.vertices[0].id.clone());
    session.ids.insert(SINK.to_owned(), details.vertices.last().context("a vertex")?.id.clone());
    let newest = checkpoints::figures(&session.cluster.client, job).await?.latest;
    if let Some(newest) = newest {
        session.ids.insert(CHECKPOINT.to_owned(), format!("/details/{newest}"));
    }
    let mut answers = BTreeMap::new();
    let of_job = |recorded: &&Recorded| {
        let asks = recorded.method == Method::GET && recorded.path.contains(&format!("/jobs/{JOB}"));
        asks && recorded.status == 200 && !recorded.path.contains("points/")
            || (recorded.path.contains(CHECKPOINT) && newest.is_some())
    };
    for recorded in index.iter().filter(of_job) {
        let path = with_ids(&recorded.path, &session.ids);
        let (code, _, text) = session.ask(&Method::GET, &path, None).await?;
        ensure!(code == 200, "{path}: {code}: {text}");
        let answer: Value = serde_json::from_str(&text)?;
        // What a checkpoint of this job consists of, and whether there were failures, is not what it was there.
        if let Some(found) = recording(&recorded.name, &session.ids)?.filter(|_| !recorded.name.contains("checkpoint"))
        {
            let mut wrong = Vec::new();
            compare(&recorded.name, &found, &answer, &mut wrong);
            // Of tasks that are over there are no figures of now. What is one chain reads nothing.
            let is_over = answer["status"] == "deprecated" && details.vertices[0].status.is_terminal();
            let is_one = details.vertices.len() == 1;
            wrong.retain(|wrong| !(is_over || is_one && wrong.ends_with("plan.nodes[0].inputs is missing")));
            session.wrong.extend(wrong.into_iter().map(|wrong| format!("the {status} job: {wrong}")));
        }
        answers.insert(recorded.name.clone(), answer);
    }
    let answer = |name: &str| answers.get(name).cloned().unwrap_or_default();
    let job_answer = answer("job");
    ensure!(answer("job-status")["status"] == status.as_str() && job_answer["jid"] == job, "{job_answer}");
    ensure!(job_answer["timestamps"][status.as_str()].as_i64() > Some(0), "{job_answer}");
    ensure!((job_answer["end-time"] == -1) != status.is_terminal(), "{job_answer}");
    let failures = answer("job-exceptions")["exceptionHistory"]["entries"].as_array().map_or(0, Vec::len);
    let fails = matches!(status, JobStatus::Failed | JobStatus::Restarting);
    ensure!((failures > 0) == fails, "{failures} failures");
    let expected = match status {
        JobStatus::Finished => "FINISHED",
        JobStatus::Canceled => "CANCELED",
        JobStatus::Running => "RUNNING",
        _ => "FAILED",
    };
    let attempt = answer("vertex1-subtask0-attempt0");
    let present = answer("vertex1-subtask0");
    let is_it = present["attempt"] != 0 || attempt == same_but_for_time(&present, &attempt);
    ensure!(attempt["attempt"] == 0 && is_it, "{attempt}\n{present}");
    // Of the subtasks of a vertex one fails, whichever, and takes the others along.
    let states: Vec<Value> = if fails {
        job_answer["vertices"].as_array().into_iter().flatten().map(|vertex| vertex["status"].clone()).collect()
    } else {
        ["vertex1-subtask0", "vertex0-subtask0"].iter().map(|name| answer(name)["status"].clone()).collect()
    };
    ensure!(states.iter().any(|state| state == expected), "{states:?}");
    let written = job_answer["vertices"][0]["metrics"]["write-records"].as_u64();
    // What is one chain has nobody to send records to.
    ensure!((written > Some(0)) == (details.vertices.len() > 1), "{job_answer}");
    Ok(())
}

/// An answer with the durations of another one.
fn same_but_for_time(answer: &Value, other: &Value) -> Value {
    let mut answer = answer.clone();
    for name in ["duration", "status-duration", "metrics"] {
        answer[name] = other[name].clone();
    }
    answer
}

/// Another parallelism for a job that runs.
async fn rescaled(session: &mut Session, job: &str) -> Result<()> {
    let path = format!("/v1/jobs/{job}/resource-requirements");
    let (_, _, text) = session.ask(&Method::GET, &path, None).await?;
    let mut wanted: Value = serde_json::from_str(&text)?;
    let vertices = wanted.as_object_mut().with_context(|| text.clone())?;
    ensure!(
        vertices.len() == 2
            && vertices.values().all(|one| one["parallelism"] == json!({"lowerBound": 1, "upperBound": 2}))
    );
    vertices.values_mut().for_each(|vertex| vertex["parallelism"]["upperBound"] = json!(3));
    for (wrong, part) in [(json!({}), "missing"), (json!({"f": {}}), "parallelism")] {
        let (status, _, text) = session.ask(&Method::PUT, &path, Some(wrong.to_string())).await?;
        ensure!(status == 400 && text.contains(part), "{status}: {text}");
    }
    let (status, _, text) = session.ask(&Method::PUT, &path, Some(wanted.to_string())).await?;
    ensure!((status, text.as_str()) == (200, "{}"), "{status}: {text}");
    let runs_wider = |details: &millrace_client::api::JobDetails| {
        details.state == JobStatus::Running && details.vertices.iter().all(|vertex| vertex.parallelism == 3)
    };
    session.cluster.wait_for(job, runs_wider).await?;
    let mut answers = BTreeMap::new();
    for part in ["overview", "history", "summary", "config"] {
        let (status, _, text) = session.ask(&Method::GET, &format!("/v1/jobs/{job}/rescales/{part}"), None).await?;
        ensure!(status == 200, "{part}: {status}: {text}");
        answers.insert(part, serde_json::from_str::<Value>(&text)?);
    }
    let newest = answers["history"][0].clone();
    ensure!(newest["triggerCause"] == "UPDATE_REQUIREMENT" && newest["terminalState"] == "COMPLETED", "{newest}");
    ensure!(answers["overview"]["rescalesCounts"]["completed"] == 2, "{}", answers["overview"]);
    ensure!(answers["overview"]["latest"]["completed"] == newest, "{}", answers["overview"]);
    ensure!(answers["summary"]["rescalesDurationStatsInMillis"]["max"].is_u64(), "{}", answers["summary"]);
    ensure!(answers["config"]["rescaleHistoryMax"] == 16, "{}", answers["config"]);
    let (_, _, text) = session.ask(&Method::GET, &format!("/v1/jobs/{job}/metrics?get=numRescales"), None).await?;
    ensure!(serde_json::from_str::<Value>(&text)? == json!([{"id": "numRescales", "value": "1"}]), "{text}");
    let uuid = newest["rescaleUuid"].as_str().context("an id")?;
    let (_, _, text) = session.ask(&Method::GET, &format!("/jobs/{job}/rescales/details/{uuid}"), None).await?;
    let details: Value = serde_json::from_str(&text)?;
    let Some((_, vertex)) = details["vertices"].as_object().and_then(|vertices| vertices.iter().next()) else {
        bail!("{text}");
    };
    let parallelism = ["preRescaleParallelism", "desiredParallelism", "postRescaleParallelism"];
    ensure!(parallelism.map(|name| vertex[name].as_u64()) == [Some(2), Some(3), Some(3)], "{text}");
    Ok(())
}
