//! What pages hear of a cluster: the page itself, which every member of a group serves, and the events that it lives on.

use anyhow::{Context, Result, ensure};
use millrace_tests::events::Events;
use millrace_tests::jobs::Run;
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::group::OPTIONS;

/// The streams that a leader serves.
const STREAMS_MAX: usize = 256;

/// The page and one of its scripts, as a browser loads them.
async fn loads_the_page(http: &Client, address: &str) -> Result<()> {
    let page = http.get(format!("http://{address}/")).send().await?.error_for_status()?;
    let policy = page.headers().get("content-security-policy").context("no policy")?.to_str()?.to_owned();
    ensure!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
    let text = page.text().await?;
    let script =
        text.split('"').find(|part| part.contains("assets/") && part.ends_with(".js")).context(text.clone())?;
    let script = format!("http://{address}/{}", script.trim_start_matches("./").trim_start_matches('/'));
    let script = http.get(script).header("accept-encoding", "gzip").send().await?.error_for_status()?;
    ensure!(script.headers().get("content-encoding").is_some_and(|coding| coding == "gzip"));
    ensure!(script.headers().get("cache-control").is_some_and(|kept| kept.to_str().unwrap().contains("immutable")));
    Ok(())
}

/// Whether an event tells that a job is in a state.
fn job_is(event: &Value, job: &str, state: &str) -> bool {
    let jobs = event["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    jobs.iter().any(|entry| entry["jid"] == job && entry["state"] == state)
}

/// Listens until no more are served, and says how many were.
async fn listeners_at(http: &Client, address: &str) -> Result<Vec<Events>> {
    let mut listeners = Vec::new();
    while listeners.len() <= STREAMS_MAX {
        match Events::ask(http, address, "/events").await? {
            (StatusCode::OK, events) => listeners.push(events),
            (StatusCode::SERVICE_UNAVAILABLE, _) => break,
            (other, _) => anyhow::bail!("{other}"),
        }
    }
    Ok(listeners)
}

#[tokio::test]
async fn events_follow_what_a_job_does_through_every_member_and_end_with_the_lead() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start_group(folder.path(), 3, 1, 2, &OPTIONS).await?;
    let http = Client::new();
    let leader = cluster.leader().await?;
    let (follower, other) = ((leader + 1) % 3, (leader + 2) % 3);
    for member in &cluster.job_managers {
        loads_the_page(&http, &member.rest).await?;
    }

    // Through one that does not lead.
    let address = cluster.job_managers[follower].rest.clone();
    let mut events = Events::listen(&address, "/events").await?;
    let overview = events.wait_for("overview", |_| true).await?;
    assert_eq!((overview["slots-total"].as_u64(), overview["jobs-running"].as_u64()), (Some(2), Some(0)));
    assert_eq!(events.wait_for("taskmanagers", |_| true).await?["taskmanagers"].as_array().map(Vec::len), Some(1));
    assert_eq!(events.wait_for("members", |_| true).await?["members"].as_array().map(Vec::len), Some(3));
    assert_eq!(events.wait_for("jobs", |_| true).await?["jobs"].as_array().map(Vec::len), Some(0));

    let options = vec![("execution.checkpointing.interval", "200 ms")];
    let run = Run { args: vec!["unbounded"], parallelism: 2, options, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    events.wait_for("jobs", |event| job_is(event, &job, "RUNNING")).await?;
    let mut of_job = Events::listen(&address, &format!("/jobs/{job}/events")).await?;
    let mut first = Vec::new();
    for _ in 0..4 {
        first.push(of_job.next().await?.context("an event")?.0);
    }
    assert_eq!(first, ["job", "figures", "checkpoints", "exceptions"]);
    let passes = |told: &Value| told["vertices"].as_object().is_some_and(|vertices| vertices.len() == 1);
    let busy = |told: &Value| {
        told["vertices"].as_object().into_iter().flatten().any(|(_, vertex)| vertex["busy"].as_f64() > Some(0.1))
    };
    of_job.wait_for("figures", |told| passes(told) && busy(told)).await?;
    of_job.wait_for("checkpoints", |told| told["counts"]["completed"].as_u64() >= Some(1)).await?;
    cluster.client.cancel(&job).await?;
    of_job.wait_for("job", |told| told["state"] == "CANCELED").await?;
    events.wait_for("jobs", |event| job_is(event, &job, "CANCELED")).await?;
    let unknown = Events::ask(&http, &address, "/jobs/00000000000000000000000000000000/events").await?;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND);

    // Those two are of them.
    let leading = cluster.job_managers[leader].rest.clone();
    let listeners = listeners_at(&http, &leading).await?;
    assert_eq!(listeners.len(), STREAMS_MAX - 2);
    drop(listeners);
    let deadline = std::time::Instant::now() + PATIENCE;
    while Events::ask(&http, &leading, "/events").await?.0 != StatusCode::OK {
        ensure!(std::time::Instant::now() < deadline, "places of listeners who have gone are not given back");
        tokio::time::sleep(POLL).await;
    }

    // One that is told to stop does not wait for its listeners.
    let at_other = Events::listen(&cluster.job_managers[other].rest, "/events").await?;
    cluster.job_managers[other].terminate()?;
    at_other.ended().await?;
    cluster.start_job_manager(other, &[])?;
    cluster.job_managers[leader].kill()?;
    events.ended().await?;
    of_job.ended().await?;
    cluster.leader_after(leader).await?;
    let mut again = Events::listen(&cluster.job_managers[other].rest, "/events").await?;
    again.wait_for("jobs", |event| job_is(event, &job, "CANCELED")).await?;
    Ok(())
}
