//! A group of members, and what may happen to it.

use std::collections::BTreeSet;
use std::time::Duration;

use millrace_metadata_core::{Command, MetadataState};
use millrace_types::LeaderEpoch;

use super::cluster::{Cluster, addresses};
use super::{history, until};
use crate::{Formation, Leadership, MemberId, MemberRole, MetadataError, MetadataHandle, Timing};

async fn propose_all(handle: &MetadataHandle, commands: &[Command]) -> MetadataState {
    for command in commands {
        handle.propose(command.clone()).await.unwrap();
    }
    (*handle.state()).clone()
}

async fn wait_for_state(handle: &MetadataHandle, expected: &MetadataState) {
    until(|| *handle.state() == *expected).await;
}

fn others(member: MemberId) -> Vec<MemberId> {
    (1..=3).filter(|other| *other != member).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_agree_and_followers_name_the_leader() {
    let cluster = Cluster::of(&[1, 2, 3], Timing::default());
    let (leader, handle, _) = cluster.leader().await;
    let state = propose_all(&handle, &history()).await;
    for follower in others(leader) {
        let handle = cluster.handle(follower);
        wait_for_state(&handle, &state).await;
        let refused = handle.begin_epoch().await.unwrap_err();
        let MetadataError::NotLeader { leader: Some((named, at)) } = refused else { panic!("{refused}") };
        assert_eq!((named, at), (leader, addresses(leader)));
        assert_eq!(handle.leadership().current(), Leadership::Follower { leader, addresses: addresses(leader) });
        assert!(matches!(handle.read().await, Err(MetadataError::NotLeader { .. })));
    }
    assert_eq!(*handle.read().await.unwrap(), state);
    until(|| handle.status().members.iter().all(|member| member.lag == Some(0) && member.reachable == Some(true)))
        .await;
    let roles: Vec<MemberRole> = handle.status().members.iter().map(|member| member.role).collect();
    assert_eq!(roles.iter().filter(|role| **role == MemberRole::Leader).count(), 1);
    assert_eq!(roles.iter().filter(|role| **role == MemberRole::Voter).count(), 2);
    // An acknowledged decision is on the disk: its entry and then redb's header, each with a sync of its own.
    let before = handle.status().syncs;
    handle.begin_epoch().await.unwrap();
    assert!(handle.status().syncs >= before + 2, "{before} and then {}", handle.status().syncs);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_leaders_lease_ends_before_a_successor_leads() {
    let cluster = Cluster::of(&[1, 2, 3], Timing::default());
    for _ in 0..3 {
        let (old, old_handle, old_lease) = cluster.leader().await;
        let old_epoch = old_handle.begin_epoch().await.unwrap();
        let old_handle = old_handle.in_epoch(old_epoch);
        cluster.net.partition(&[BTreeSet::from([old]), others(old).into_iter().collect()]);
        let undecided = tokio::spawn({
            let handle = old_handle.clone();
            async move { handle.reserve_ids(1).await }
        });
        let (_, new_handle, new_lease) = cluster.leader_among(&others(old)).await;
        assert!(!old_lease.is_valid(), "two leaders act at once");
        assert!(matches!(old_handle.leadership().current(), Leadership::NoLeader));
        let new_epoch = new_handle.begin_epoch().await.unwrap();
        assert!(new_epoch > old_epoch && new_lease.is_valid());
        // It cannot read what it may not know.
        assert!(old_handle.read().await.is_err());
        cluster.net.heal();
        let refused = undecided.await.unwrap().unwrap_err();
        let expected = matches!(refused, MetadataError::NotLeader { .. } | MetadataError::OutcomeUnknown(_));
        assert!(expected, "{refused}");
        assert!(!old_lease.is_valid(), "the lease of a tenure that is over never comes back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leads_again_is_fenced_in_the_epoch_of_before() {
    let cluster = Cluster::of(&[1, 2, 3], Timing::default());
    let (first, handle, _) = cluster.leader().await;
    let stale = handle.in_epoch(handle.begin_epoch().await.unwrap());
    stale.reserve_ids(1).await.unwrap();
    // Another one leads, and then the first one again.
    cluster.net.partition(&[BTreeSet::from([first]), others(first).into_iter().collect()]);
    let (second, handle, _) = cluster.leader_among(&others(first)).await;
    handle.begin_epoch().await.unwrap();
    let third = others(first).into_iter().find(|member| *member != second).unwrap();
    cluster.net.heal();
    let caught_up = handle.state();
    wait_for_state(&stale, &caught_up).await;
    cluster.net.partition(&[BTreeSet::from([second]), BTreeSet::from([first, third])]);
    cluster.leader_among(&[first, third]).await;
    if matches!(stale.leadership().current(), Leadership::Leader { .. }) {
        let refused = stale.reserve_ids(1).await.unwrap_err();
        assert!(refused.is_fenced(), "{refused}");
        assert!(stale.barrier().await.unwrap_err().is_fenced());
    } else {
        assert!(matches!(stale.reserve_ids(1).await, Err(MetadataError::NotLeader { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_there_again_after_all_its_members_have_crashed() {
    let mut cluster = Cluster::of(&[1, 2, 3], Timing::default());
    let (_, handle, _) = cluster.leader().await;
    let state = propose_all(&handle, &history()).await;
    drop(handle);
    for member in 1..=3 {
        cluster.crash(member, member);
    }
    for member in 1..=3 {
        cluster.restart(member);
    }
    let (_, handle, _) = cluster.leader().await;
    assert_eq!(*handle.read().await.unwrap(), state);
    assert_eq!(handle.begin_epoch().await.unwrap(), LeaderEpoch(state.epoch().0 + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_one_grows_to_three_and_loses_nothing() {
    let mut cluster = Cluster::empty(Timing::default());
    let alone = crate::MetadataOptions::new("unused").formation;
    cluster.start(1, &alone).unwrap();
    let handle = cluster.handle(1);
    let mut state = propose_all(&handle, &history()).await;
    for _ in 0..30 {
        // Enough for a snapshot, so that the new ones begin with it.
        state = propose_all(&handle, &[Command::BeginEpoch]).await;
    }
    let refused = handle.add_member(2, addresses(2)).await.unwrap_err();
    assert!(refused.to_string().contains("member 1 has no address"), "{refused}");
    handle.readdress_member(1, addresses(1)).await.unwrap();
    for member in [2, 3] {
        cluster.start(member, &Formation::Join).unwrap();
        handle.add_member(member, addresses(member)).await.unwrap();
    }
    for member in [2, 3] {
        wait_for_state(&cluster.handle(member), &state).await;
    }
    let lone = cluster.handle(2);
    cluster.stop(1);
    drop(handle);
    let (leader, handle, _) = cluster.leader().await;
    assert_eq!(*handle.read().await.unwrap(), state);
    assert_eq!(lone.status().members.len(), 3);
    // One of three is dead: it goes, and another one comes.
    handle.remove_member(1).await.unwrap();
    cluster.start(4, &Formation::Join).unwrap();
    handle.add_member(4, addresses(4)).await.unwrap();
    let state = propose_all(&handle, &[Command::BeginEpoch]).await;
    wait_for_state(&cluster.handle(4), &state).await;
    drop((handle, lone));
    cluster.stop(leader);
    let (_, handle, _) = cluster.leader().await;
    assert_eq!(*handle.read().await.unwrap(), state, "the new one votes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_removed_hands_over() {
    let cluster = Cluster::of(&[1, 2, 3], Timing::default());
    let (old, handle, _) = cluster.leader().await;
    let state = propose_all(&handle, &history()).await;
    handle.remove_member(old).await.unwrap();
    let (new, new_handle, _) = cluster.leader_among(&others(old)).await;
    assert_ne!(new, old);
    assert_eq!(*new_handle.read().await.unwrap(), state);
    until(|| !matches!(handle.leadership().current(), Leadership::Leader { .. })).await;
    let missing = new_handle.remove_member(old).await.unwrap_err();
    assert!(missing.to_string().contains("there is no member"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_disk_ends_its_member_and_no_other() {
    let cluster = Cluster::of(&[1, 2, 3], Timing::default());
    let (old, handle, lease) = cluster.leader().await;
    let state = propose_all(&handle, &history()).await;
    cluster.fail_disk(old);
    let failed = handle.begin_epoch().await.unwrap_err();
    assert!(failed.to_string().contains("the disk is full"), "{failed}");
    let cause = cluster.running[&old].service.fatal().await;
    assert!(matches!(cause, MetadataError::WriteFailed { .. }), "{cause}");
    assert!(!lease.is_valid(), "it does not act any more");
    assert!(handle.read().await.is_err(), "nor answer");
    let (_, handle, _) = cluster.leader_among(&others(old)).await;
    let seen = handle.read().await.unwrap();
    let mut next = state.clone();
    let _ = next.apply(Command::BeginEpoch).unwrap();
    assert!([&state, &next].contains(&&*seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_is_there_soon() {
    let mut cluster = Cluster::of(&[1, 2, 3], Timing::default());
    let (old, handle, _) = cluster.leader().await;
    handle.begin_epoch().await.unwrap();
    drop(handle);
    let since = std::time::Instant::now();
    cluster.crash(old, 0);
    let (_, handle, _) = cluster.leader().await;
    handle.begin_epoch().await.unwrap();
    let took = since.elapsed();
    println!("a new leader after {} ms", took.as_millis());
    assert!(took < Duration::from_secs(5), "{took:?}");
}
