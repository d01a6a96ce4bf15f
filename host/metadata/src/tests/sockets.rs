//! Members that speak over real sockets and write real files.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use millrace_metadata_core::{Command, JobSubmission};

use super::{history, until};
use crate::{Formation, Leadership, MemberAddresses, MetadataError, MetadataHandle, MetadataOptions, MetadataService};

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn leader(members: &[(MetadataService, MetadataHandle)]) -> Option<&MetadataHandle> {
    let leads = |handle: &MetadataHandle| matches!(handle.leadership().current(), Leadership::Leader { .. });
    members.iter().map(|(_, handle)| handle).find(|handle| leads(handle))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_agree_over_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let places: BTreeMap<u64, SocketAddr> = (1..=3).map(|member| (member, free_address())).collect();
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
    until(|| leader(&members).is_some()).await;
    let state = leader(&members).unwrap().state();
    until(|| members.iter().all(|(_, handle)| *handle.state() == *state)).await;
    let gone =
        members.iter().position(|(_, handle)| matches!(handle.leadership().current(), Leadership::Leader { .. }));
    members.remove(gone.unwrap()).0.close();
    until(|| leader(&members).is_some()).await;
    assert_eq!(leader(&members).unwrap().read().await.unwrap(), state);
    for (service, _) in members {
        service.close();
    }
}

/// Has whoever leads decide it. On a busy machine somebody else may lead at any time.
async fn decide(members: &[(MetadataService, MetadataHandle)], command: Command) {
    for _ in 0..100 {
        until(|| leader(members).is_some()).await;
        let Some(handle) = leader(members) else { continue };
        match handle.propose(command.clone()).await {
            Ok(_) => return,
            Err(MetadataError::NotLeader { .. }) => {}
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
