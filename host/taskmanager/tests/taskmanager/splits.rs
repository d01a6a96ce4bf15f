//! A reader that holds several splits: a watermark for each, and the least of them.

use bytes::Bytes;
use millrace_connectors::{FileRoots, enumerate_splits};
use millrace_graph::Partitioning;
use millrace_protocol::{SplitAssignment, SplitId, ToJobManager, ToTaskManager};
use millrace_types::{Digest, ExecutionState};
use sha2::Digest as _;

use crate::graphs::{Pipeline, Relay};
use crate::relay;
use crate::support::{Cluster, EPOCH, allocation, job};

/// Reports of the watermark after which both splits have had many turns.
const REPORTS: usize = 30;

fn pipeline(component: &[u8], seed: Option<u64>, options: &str) -> Pipeline {
    let component = Digest::from_bytes(sha2::Sha256::digest(component).into());
    Pipeline {
        source: ("datagen", options.to_owned(), 1),
        partitioning: Partitioning::Forward,
        relay: Some(Relay { component, discard_instances_seed: seed, generates_watermarks: true }),
        sink: ("discard", String::from("{}"), 1),
    }
}

/// Gives both splits to the one reader and returns the watermarks that its source reports.
async fn reported(seed: Option<u64>) -> Vec<i64> {
    let component = relay::Relay::of_splits().component();
    let pipeline = pipeline(&component, seed, "{\"rows-per-second\": 2000}");
    let mut cluster = Cluster::start_with(Some(component), |_| ());
    cluster.grant(0, allocation(1), job(1)).await;
    let tasks = pipeline.deployments(job(1), cluster.handle.id(), allocation(1));
    assert_eq!(tasks.len(), 1, "one chain");
    cluster.deploy(&tasks[0]).await;
    let splits = enumerate_splits(&pipeline.source_connector(), 2, &FileRoots::unrestricted()).unwrap();
    let mut reported = Vec::new();
    while reported.iter().filter(|watermark| **watermark > i64::MIN).count() < REPORTS {
        match cluster.next().await {
            ToJobManager::SplitRequest(request) => {
                let splits = (0..).map(SplitId).zip(splits.clone()).map(|(id, split)| (id, split, Bytes::new()));
                let (attempt, node, splits) = (request.attempt, request.node, splits.collect());
                let assignment = SplitAssignment { attempt, node, splits, no_more: true };
                cluster.send(ToTaskManager::AssignSplits { epoch: EPOCH, assignment }).await;
            }
            ToJobManager::WatermarkReached { watermark, .. } => reported.push(watermark),
            ToJobManager::TaskReport(report) => assert!(report.failure.is_none(), "{report:?}"),
            other => panic!("unexpected: {other:?}"),
        }
    }
    cluster.cancel(tasks[0].attempt).await;
    loop {
        if let ToJobManager::TaskReport(report) = cluster.next().await {
            assert_eq!(report.state, ExecutionState::Canceled, "{report:?}");
            break;
        }
    }
    cluster.assert_clean();
    reported
}

#[tokio::test]
async fn the_watermark_of_two_splits_is_that_of_the_slower_one() {
    for seed in [None, Some(1)] {
        let reported = reported(seed).await;
        assert!(reported.iter().all(|watermark| [i64::MIN, 10].contains(watermark)), "{reported:?}");
    }
}

/// The splits are read before it is time for the next report.
#[tokio::test]
async fn a_source_that_waits_for_splits_tells_how_far_it_has_come() {
    let component = relay::Relay::of_splits().component();
    let pipeline = pipeline(&component, None, "{\"rows\": 4, \"rows-per-second\": 100000}");
    let mut cluster = Cluster::start_with(Some(component), |_| ());
    cluster.grant(0, allocation(1), job(1)).await;
    let tasks = pipeline.deployments(job(1), cluster.handle.id(), allocation(1));
    cluster.deploy(&tasks[0]).await;
    let mut splits = enumerate_splits(&pipeline.source_connector(), 1, &FileRoots::unrestricted()).unwrap();
    loop {
        match cluster.next().await {
            // The second request has no answer.
            ToJobManager::SplitRequest(request) => {
                let (attempt, node) = (request.attempt, request.node);
                let Some(split) = splits.pop() else { continue };
                let assignment =
                    SplitAssignment { attempt, node, splits: vec![(SplitId(0), split, Bytes::new())], no_more: false };
                cluster.send(ToTaskManager::AssignSplits { epoch: EPOCH, assignment }).await;
            }
            ToJobManager::WatermarkReached { watermark: 10, .. } => break,
            ToJobManager::WatermarkReached { .. } | ToJobManager::TaskReport(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    cluster.cancel(tasks[0].attempt).await;
    cluster.wait_for(tasks[0].attempt, ExecutionState::Canceled).await;
    cluster.assert_clean();
}
