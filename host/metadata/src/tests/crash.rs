//! The power is lost, or the disk fails, at every step in turn.

use millrace_metadata_core::Command;

use super::disk::{Disk, Fault};
use super::{history, options, start_on, state_of};
use crate::store::create_on;
use crate::{Leadership, MetadataError};

/// Proposes the history until a command fails; the number of commands that were acknowledged.
async fn run(disk: &Disk, history: &[Command]) -> usize {
    let (service, handle) = match start_on(disk) {
        Ok(started) => started,
        Err(error) => {
            assert!(error.to_string().contains("the disk is full"), "{error}");
            return 0;
        }
    };
    let mut acknowledged = 0;
    for command in history {
        match handle.propose(command.clone()).await {
            Ok(_) => acknowledged += 1,
            Err(error) => {
                let failed = matches!(error, MetadataError::WriteFailed { .. } | MetadataError::Poisoned { .. });
                assert!(failed && error.to_string().contains("the disk is full"), "{error}");
                break;
            }
        }
    }
    if acknowledged < history.len() {
        // Nothing more is taken, whatever the disk does now.
        let cause = service.fatal().await;
        assert!(cause.to_string().contains("the disk is full"), "{cause}");
        let refused = handle.propose(Command::BeginEpoch).await.unwrap_err();
        let named = matches!(refused, MetadataError::WriteFailed { .. } | MetadataError::Poisoned { .. });
        assert!(named, "{refused}");
        assert!(matches!(handle.leadership().current(), Leadership::NoLeader), "it does not lead any more");
        let seen = handle.state();
        let decided = [acknowledged, acknowledged + 1].map(|count| state_of(&history[..count]));
        assert!(decided.contains(&seen), "readers see what was acknowledged, or was decided when the disk failed");
    }
    service.close();
    acknowledged
}

/// The store opens on `image`, has all that was acknowledged and at most the command behind it, and works.
async fn check(image: Vec<u8>, history: &[Command], acknowledged: usize, what: &str) {
    let disk = Disk::with_image(image, Fault::Never);
    let (service, handle) = start_on(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let state = handle.state();
    let in_flight = (acknowledged + 1).min(history.len());
    let expected = [state_of(&history[..acknowledged]), state_of(&history[..in_flight])];
    assert!(expected.contains(&state), "{what}: neither what was acknowledged nor the command behind it");
    handle.begin_epoch().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let state = handle.state();
    service.close();
    let (_service, handle) = start_on(&disk).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    assert_eq!(handle.state(), state, "{what}");
}

/// A store without a history.
fn empty() -> Vec<u8> {
    let disk = Disk::with_image(Vec::new(), Fault::Never);
    drop(create_on(disk.clone(), &options("disk")).unwrap());
    disk.image()
}

async fn steps_of(history: &[Command]) -> u64 {
    let disk = Disk::with_image(empty(), Fault::Never);
    assert_eq!(run(&disk, history).await, history.len());
    disk.steps()
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_power_loss_at_every_step() {
    let history = history();
    for step in 0..steps_of(&history).await {
        let disk = Disk::with_image(empty(), Fault::PowerLoss { step });
        let acknowledged = run(&disk, &history).await;
        for seed in 0..4 {
            let image = disk.image_after_power_loss(seed);
            check(image, &history, acknowledged, &format!("power lost at step {step}, seed {seed}")).await;
        }
    }
}

#[tokio::test]
async fn a_disk_that_fails_once_stops_the_store_and_loses_nothing() {
    let history = history();
    for step in 0..steps_of(&history).await {
        let disk = Disk::with_image(empty(), Fault::OneError { step });
        let acknowledged = run(&disk, &history).await;
        check(disk.image(), &history, acknowledged, &format!("one error at step {step}")).await;
    }
}

/// What 100 commands cost, from those that wait for each other and from those that wait together.
#[tokio::test]
async fn commands_that_wait_together_share_their_syncs() {
    let commands = || (0..100).map(|_| Command::ReserveIds { count: 1 });
    let alone = Disk::with_image(empty(), Fault::Never);
    assert_eq!(run(&alone, &commands().collect::<Vec<_>>()).await, 100);
    let together = Disk::with_image(empty(), Fault::Never);
    let (service, handle) = start_on(&together).unwrap();
    for answer in futures::future::join_all(commands().map(|command| handle.propose(command))).await {
        answer.unwrap();
    }
    service.close();
    let (alone, together) = (alone.syncs(), together.syncs());
    println!("100 commands: {alone} syncs one after the other, {together} together");
    assert!(together * 3 < alone, "{together} syncs together, {alone} one after the other");
}
