//! Members that speak over real sockets and write real files.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use millrace_metadata_core::{Command, JobSubmission, MetadataState};

use super::{history, until};
use crate::{Formation, Leadership, MemberAddresses, MetadataError, MetadataHandle, MetadataOptions, MetadataService};

/// Addresses at which nobody listens, one for each member: held until all are found, so that they differ.
fn free_places() -> BTreeMap<u64, SocketAddr> {
    let held = [1, 2, 3].map(|member| (member, TcpListener::bind("127.0.0.1:0").unwrap()));
    held.iter().map(|(member, listener)| (*member, listener.local_addr().unwrap())).collect()
}

fn leader(members: &[(MetadataService, MetadataHandle)]) -> Option<&MetadataHandle> {
    let leads = |handle: &MetadataHandle| matches!(handle.leadership().current(), Leadership::Leader { .. });
    members.iter().map(|(_, handle)| handle).find(|handle| leads(handle))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_agree_over_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let places = free_places();
    let at = |address: &SocketAddr| MemberAddresses { rpc: address.to_string(), rest: String::new() };
    let formation = Formation::Bootstrap(places.iter().map(|(member, address)| (*member, at(address))).collect());
    let open = |member: u64| {
        let path = folder.path().join(format!("{member}.redb"));
        let formation = formation.clone();
        let (service, handle) =
            MetadataService::open(&MetadataOptions { member, formation, ..MetadataOptions::new(path) }).unwrap();
        assert_eq!(service.listen(places[&member]).unwrap(), places[&member]);
        (service, handle)
    };
    let mut members: Vec<_> = (1..=3).map(open).collect();
    for command in history() {
        decide(&members, command).await;
    }
    // More than a heartbeat's time carries, each in one command.
    for job in large_jobs() {
        decide(&members, job).await;
    }
    let state = read(&members).await;
    until(|| members.iter().all(|(_, handle)| *handle.state() == *state)).await;
    let leads =
        members.iter().position(|(_, handle)| matches!(handle.leadership().current(), Leadership::Leader { .. }));
    // On a busy machine nobody may lead at this moment.
    members.remove(leads.unwrap_or_default()).0.close();
    assert_eq!(read(&members).await, state);
    for (service, _) in members {
        service.close();
    }
}

/// What whoever leads knows.
async fn read(members: &[(MetadataService, MetadataHandle)]) -> Arc<MetadataState> {
    for _ in 0..100 {
        until(|| leader(members).is_some()).await;
        let Some(handle) = leader(members) else { continue };
        if let Ok(state) = handle.read().await {
            return state;
        }
    }
    panic!("nobody leads for long enough to be read")
}

/// Has whoever leads decide it. On a busy machine somebody else may lead at any time.
async fn decide(members: &[(MetadataService, MetadataHandle)], command: Command) {
    let mut in_doubt = false;
    for _ in 0..100 {
        until(|| leader(members).is_some()).await;
        let Some(handle) = leader(members) else { continue };
        match handle.propose(command.clone()).await {
            Ok(_) => return,
            Err(MetadataError::NotLeader { .. }) => {}
            Err(MetadataError::OutcomeUnknown(_)) => in_doubt = true,
            // It was decided the first time.
            Err(MetadataError::Rejected(_)) if in_doubt => return,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("nobody leads for long enough");
}

/// Jobs of some megabytes.
fn large_jobs() -> impl Iterator<Item = Command> {
    let find = |wanted: fn(&Command) -> bool| history().into_iter().find(wanted).unwrap();
    let Command::AddJob { tenant, job } = find(|command| matches!(command, Command::AddJob { .. })) else {
        unreachable!()
    };
    (100..103u8).map(move |number| {
        let id = millrace_types::JobId::from_bytes([number; 16]);
        let job = JobSubmission { id, stream_graph: vec![number; 7 << 20].into(), ..(*job).clone() };
        Command::AddJob { tenant: tenant.clone(), job: Box::new(job) }
    })
}
