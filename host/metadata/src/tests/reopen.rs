//! What is written is there again.

use std::collections::BTreeSet;

use futures::future::join_all;
use millrace_metadata_core::{Command, MetadataState, Rejection, Response};
use millrace_types::LeaderEpoch;

use super::disk::{Disk, Fault};
use super::{assert_state, history, open, options, state_of};
use crate::MetadataError;
use crate::store::{create_on, unfinished};

#[tokio::test]
async fn every_prefix_of_a_history_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path().join("metadata.redb"));
    let history = history();
    for (done, command) in history.iter().enumerate() {
        let (service, handle) = open(&options).unwrap();
        assert_state(&handle, &state_of(&history[..done]));
        handle.propose(command.clone()).await.unwrap();
        service.close();
    }
    let (_service, handle) = open(&options).unwrap();
    assert_state(&handle, &state_of(&history));
}

#[tokio::test]
async fn many_at_once_are_each_carried_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path().join("metadata.redb"));
    let (service, handle) = open(&options).unwrap();
    let answers = join_all((0..300).map(|_| handle.propose(Command::ReserveIds { count: 2 }))).await;
    let firsts = answers.into_iter().map(|answer| match answer.unwrap().response {
        Response::Ids(ids) => ids.start,
        other => panic!("{other:?}"),
    });
    assert_eq!(firsts.collect::<BTreeSet<_>>(), (0..300).map(|number| 1 + 2 * number).collect());
    let state = handle.state();
    service.close();
    assert_state(&open(&options).unwrap().1, &state);
}

#[tokio::test]
async fn a_rejection_and_a_command_without_effect_leave_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path().join("metadata.redb"));
    let (service, handle) = open(&options).unwrap();
    let rejected = handle.propose(Command::ReserveIds { count: 0 }).await;
    assert!(matches!(rejected, Err(MetadataError::Rejected(Rejection::OutOfRange { .. }))));
    assert!(!handle.propose(Command::BlobsDeleted { blobs: vec![] }).await.unwrap().changed);
    let huge = Command::BlobsDeleted { blobs: vec![history_blob(); 500_000] };
    assert!(matches!(handle.propose(huge).await, Err(MetadataError::TooLarge { .. })));
    service.close();
    assert_state(&open(&options).unwrap().1, &MetadataState::default());
}

fn history_blob() -> millrace_types::BlobKey {
    history()
        .into_iter()
        .find_map(|command| match command {
            Command::BeginUpload { blobs, .. } => blobs.into_iter().next(),
            _ => None,
        })
        .unwrap()
}

#[tokio::test]
async fn readers_follow_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let (service, handle) = open(&options(folder.path().join("metadata.redb"))).unwrap();
    let mut watch = handle.watch();
    assert_eq!(handle.begin_epoch().await.unwrap(), LeaderEpoch(1));
    assert_eq!(watch.changed().await.unwrap().epoch(), LeaderEpoch(1));
    assert_eq!(handle.reserve_ids(5).await.unwrap(), 1..6);
    service.close();
    assert!(watch.changed().await.is_some(), "the last state is still seen");
    assert!(watch.changed().await.is_none());
    assert!(matches!(handle.begin_epoch().await, Err(MetadataError::Closed)));
}

#[tokio::test]
async fn the_file_has_one_user_and_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path().join("metadata.redb"));
    let (service, handle) = open(&options).unwrap();
    let locked = open(&options).unwrap_err();
    assert!(matches!(locked, MetadataError::Locked { .. }), "{locked}");
    for _ in 0..300 {
        handle.begin_epoch().await.unwrap();
    }
    service.close();
    let bytes = std::fs::metadata(&options.path).unwrap().len();
    assert!(bytes < 4 * 1024 * 1024, "{bytes} bytes after snapshots took the place of the log");
    assert_eq!(open(&options).unwrap().1.state().epoch(), LeaderEpoch(300));
}

#[test]
fn a_first_start_that_was_cut_off_does_not_matter() {
    let whole = Disk::with_image(Vec::new(), Fault::Never);
    drop(create_on(whole.clone(), &options("disk")).unwrap());
    for step in 0..whole.steps() {
        let disk = Disk::with_image(Vec::new(), Fault::PowerLoss { step });
        drop(create_on(disk.clone(), &options("disk")));
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path().join("metadata.redb"));
        std::fs::write(unfinished(&options.path), disk.image()).unwrap();
        assert_state(&open(&options).unwrap().1, &MetadataState::default());
    }
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&options(folder.path().join("missing/metadata.redb"))).unwrap_err();
    assert!(matches!(error, MetadataError::Open { .. }) && error.to_string().contains("missing/metadata.redb"));
}
