//! Guests that misbehave: each ends its own job with a clear error, and the process goes on working.

use anyhow::Result;
use millrace_client::ClientError;
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::repository;

fn run(fault: &str) -> Run<'_> {
    Run { args: vec![fault], ..Run::default() }
}

/// Faults of the operator: the job fails, and its failure has these texts.
const OPERATOR_FAULTS: [(&str, &[&str]); 12] = [
    ("panic-at-1000", &["MR-TRAP", "breaks", "panicked at record 1000", "fail_at_record_1000"]),
    ("never-returns", &["MR-DEADLINE", "breaks", "taskmanager.sandbox.call-deadline"]),
    ("ten-gib", &["MR-MEMORY", "breaks", "limits.memory"]),
    ("recurses", &["MR-TRAP", "breaks", "stack"]),
    ("returns-an-error", &["MR-GUEST-ERROR", "breaks", "record 17 is not to my liking"]),
    ("malformed-batch", &["MR-CONTRACT", "breaks"]),
    ("truncated-batch", &["MR-CONTRACT", "breaks"]),
    ("unknown-port", &["MR-CONTRACT", "breaks", "port 7"]),
    ("unknown-node", &["MR-CONTRACT", "99"]),
    ("unknown-state", &["MR-CONTRACT", "breaks", "state"]),
    ("open-fails", &["MR-GUEST-ERROR", "the operator has a reason"]),
    ("emit-in-flush", &["MR-CONTRACT", "flush"]),
];

#[tokio::test]
async fn an_operator_that_misbehaves_fails_its_job_and_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Cluster::start(folder.path(), &["--slots", "2", "-D", "taskmanager.sandbox.call-deadline=5 s"])?;
    let bundle = repository::bundle("faulty")?;
    let neighbour = cluster.run(&bundle, run("unbounded")).await?;
    cluster.wait_for(&neighbour, |details| details.state == millrace_types::JobStatus::Running).await?;
    for (fault, texts) in OPERATOR_FAULTS {
        let mut run = run(fault);
        // Only a flush can emit in a flush, and only throwing instances away flushes.
        run.discard_seed = (fault == "emit-in-flush").then_some(1);
        let job = cluster.run(&bundle, run).await?;
        let failure = cluster.wait_failed(&job).await?;
        for text in texts {
            assert!(failure.contains(text), "{fault}: \"{text}\" is missing in: {failure}");
        }
        assert!(
            failure.contains("What to do:") || fault == "open-fails" || fault == "returns-an-error",
            "{fault}: {failure}"
        );
    }
    assert!(cluster.is_alive());
    let good = cluster.run(&bundle, run("none")).await?;
    cluster.wait_finished(&good).await?;
    let status = cluster.client.status(&neighbour).await?.status;
    assert_eq!(status, millrace_types::JobStatus::Running, "the neighbour ran on");
    Ok(())
}

/// Faults of the builder: the run is refused.
const BUILDER_FAULTS: [(&str, &[&str]); 6] = [
    ("build-loops", &["MR-DEADLINE", "build"]),
    ("build-traps", &["MR-TRAP", "build"]),
    ("build-emits", &["emit", "while the graph was being built"]),
    ("build-fails", &["the builder has a reason"]),
    ("cyclic", &["breaks", "cycle"]),
    ("unknown-component", &["nowhere"]),
];

#[tokio::test]
async fn a_builder_that_misbehaves_is_refused_with_its_reason() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let bundle = repository::bundle("faulty")?;
    for (fault, texts) in BUILDER_FAULTS {
        let Err(error) = cluster.run(&bundle, run(fault)).await else { panic!("{fault} was accepted") };
        assert!(error.downcast_ref::<ClientError>().is_some_and(|error| error.is_status(400)), "{fault}: {error:?}");
        for text in texts {
            assert!(error.to_string().contains(text), "{fault}: \"{text}\" is missing in: {error}");
        }
    }
    assert_eq!(cluster.client.jobs().await?.jobs, [], "nothing was entered");
    let good = cluster.run(&bundle, run("none")).await?;
    cluster.wait_finished(&good).await?;
    Ok(())
}

#[tokio::test]
async fn a_log_flood_is_bounded() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["-D", "taskmanager.sandbox.log-lines-per-second=10"])?;
    let job = cluster.run(&repository::bundle("faulty")?, run("floods-the-log")).await?;
    cluster.wait_finished(&job).await?;
    let log = cluster.client.log(&job, None, None).await?.log;
    assert!(log.contains("line 0") && log.lines().count() < 2_000, "{} lines", log.lines().count());
    Ok(())
}
