//! Members that speak over real sockets and write real files.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use millrace_metadata_core::{BundleRecord, Command, JobSubmission};

use super::{history, options, until};
use crate::{Formation, Leadership, MemberAddresses, MetadataHandle, MetadataOptions, MetadataService};

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
            MetadataService::open(&MetadataOptions { member, formation, ..options(path) }).unwrap();
        assert_eq!(service.listen(places[&member]).unwrap(), places[&member]);
        (service, handle)
    };
    let mut members: Vec<_> = (1..=3).map(open).collect();
    until(|| leader(&members).is_some()).await;
    let handle = leader(&members).unwrap();
    for command in history() {
        handle.propose(command).await.unwrap();
    }
    // More than one heartbeat carries, in one command.
    large_jobs(handle).await;
    let state = handle.state();
    until(|| members.iter().all(|(_, handle)| *handle.state() == *state)).await;
    let gone = members.iter().position(|(_, handle)| matches!(handle.leadership().current(), Leadership::Leader { .. }));
    members.remove(gone.unwrap()).0.close();
    until(|| leader(&members).is_some()).await;
    assert_eq!(leader(&members).unwrap().read().await.unwrap(), state);
    for (service, _) in members {
        service.close();
    }
}

async fn large_jobs(handle: &MetadataHandle) {
    let find = |wanted: fn(&Command) -> bool| history().into_iter().find(wanted).unwrap();
    let Command::AddBundle { tenant, bundle, .. } = find(|command| matches!(command, Command::AddBundle { .. })) else {
        unreachable!()
    };
    let Command::AddJob { job, .. } = find(|command| matches!(command, Command::AddJob { .. })) else { unreachable!() };
    let (job, _bundle): (Box<JobSubmission>, BundleRecord) = (job, bundle);
    for number in 100..103u8 {
        let id = millrace_types::JobId::from_bytes([number; 16]);
        let job = JobSubmission { id, stream_graph: vec![number; 7 << 20].into(), ..(*job).clone() };
        handle.propose(Command::AddJob { tenant: tenant.clone(), job: Box::new(job) }).await.unwrap();
    }
}
