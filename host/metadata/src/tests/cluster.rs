//! Members in one process, with a network between them that can be cut, and disks that can lose their power.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::disk::{Disk, Fault};
use crate::peers::{CallError, PeerServer, Transport};
use crate::store::{Store, create_on};
use crate::{
    Formation, Leadership, Lease, MemberAddresses, MemberId, MetadataError, MetadataHandle, MetadataOptions,
    MetadataService, Timing,
};

/// Lets calls through, or not. A clone is the same network.
#[derive(Clone, Default)]
pub(super) struct Net {
    inner: Arc<Mutex<NetInner>>,
}

#[derive(Default)]
struct NetInner {
    members: BTreeMap<MemberId, PeerServer>,
    cut: BTreeSet<(MemberId, MemberId)>,
    delay: Duration,
}

impl Net {
    /// From now on only members of one group reach each other.
    pub(super) fn partition(&self, groups: &[BTreeSet<MemberId>]) {
        let mut inner = self.inner.lock().unwrap();
        let all: BTreeSet<MemberId> = groups.iter().flatten().copied().collect();
        let apart = |a: MemberId, b: MemberId| !groups.iter().any(|group| group.contains(&a) && group.contains(&b));
        inner.cut = all.iter().flat_map(|a| all.iter().map(|b| (*a, *b))).filter(|(a, b)| apart(*a, *b)).collect();
    }

    pub(super) fn heal(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.cut.clear();
        inner.delay = Duration::ZERO;
    }

    pub(super) fn delay(&self, delay: Duration) {
        self.inner.lock().unwrap().delay = delay;
    }

    fn route(&self, from: MemberId, to: MemberId) -> Option<(PeerServer, Duration)> {
        let inner = self.inner.lock().unwrap();
        let open = !inner.cut.contains(&(from, to));
        inner.members.get(&to).filter(|_| open).map(|server| (server.clone(), inner.delay))
    }
}

struct Wire {
    from: MemberId,
    net: Net,
}

#[async_trait]
impl Transport for Wire {
    async fn call(&self, target: MemberId, addresses: &MemberAddresses, request: Bytes) -> Result<Bytes, CallError> {
        let lost = || CallError::new(target, addresses, "the network is cut");
        let (server, delay) = self.net.route(self.from, target).ok_or_else(lost)?;
        tokio::time::sleep(delay).await;
        let answer = server.answer(&request).await;
        // The way back.
        self.net.route(target, self.from).map(|_| answer).ok_or_else(lost)
    }
}

pub(super) struct Running {
    pub(super) service: MetadataService,
    pub(super) handle: MetadataHandle,
}

/// A group of members that can be stopped and started.
pub(super) struct Cluster {
    pub(super) net: Net,
    pub(super) running: BTreeMap<MemberId, Running>,
    disks: BTreeMap<MemberId, Disk>,
    timing: Timing,
}

pub(super) fn addresses(member: MemberId) -> MemberAddresses {
    MemberAddresses { rpc: format!("member-{member}:1"), rest: format!("member-{member}:2") }
}

impl Cluster {
    pub(super) fn empty(timing: Timing) -> Self {
        Self { net: Net::default(), running: BTreeMap::new(), disks: BTreeMap::new(), timing }
    }

    /// A group of these members, all running.
    pub(super) fn of(members: &[MemberId], timing: Timing) -> Self {
        let mut cluster = Self::empty(timing);
        let formation = Formation::Bootstrap(members.iter().map(|member| (*member, addresses(*member))).collect());
        // One forms the group: where all do, as over sockets, they stand against each other at first, and whoever leads
        // may be replaced at once.
        for member in &members[1..] {
            cluster.start(*member, &Formation::Join).unwrap();
        }
        cluster.start(members[0], &formation).unwrap();
        cluster
    }

    pub(super) fn options(&self, member: MemberId, formation: &Formation) -> MetadataOptions {
        let (formation, timing) = (formation.clone(), self.timing);
        MetadataOptions { member, formation, timing, snapshot_entries: 20, ..MetadataOptions::new("disk") }
    }

    /// Starts a member, on the disk that it has.
    pub(super) fn start(&mut self, member: MemberId, formation: &Formation) -> Result<(), MetadataError> {
        let options = self.options(member, formation);
        let disk = self.disks.entry(member).or_insert_with(|| {
            let disk = Disk::with_image(Vec::new(), Fault::Never);
            drop(create_on(disk.clone(), &options).unwrap());
            Disk::with_image(disk.image(), Fault::Never)
        });
        let wire = Arc::new(Wire { from: member, net: self.net.clone() });
        let disk = disk.clone();
        let (service, handle) = MetadataService::start(&options, wire, || Store::open_on(disk, &options))?;
        self.net.inner.lock().unwrap().members.insert(member, service.endpoint().server);
        self.running.insert(member, Running { service, handle });
        Ok(())
    }

    /// Starts a member that has run before.
    pub(super) fn restart(&mut self, member: MemberId) {
        self.start(member, &Formation::Join).unwrap();
    }

    /// Stops a member as a signal does.
    pub(super) fn stop(&mut self, member: MemberId) {
        self.net.inner.lock().unwrap().members.remove(&member);
        if let Some(running) = self.running.remove(&member) {
            running.service.close();
        }
    }

    /// The power of a member goes; what it had not synced is there or not.
    pub(super) fn crash(&mut self, member: MemberId, seed: u64) {
        if let Some(disk) = self.disks.get(&member) {
            disk.cut();
        }
        self.stop(member);
        if let Some(disk) = self.disks.get_mut(&member) {
            *disk = Disk::with_image(disk.image_after_power_loss(seed), Fault::Never);
        }
    }

    /// The disk of a member fails from now on.
    pub(super) fn fail_disk(&self, member: MemberId) {
        self.disks[&member].cut();
    }

    pub(super) fn handle(&self, member: MemberId) -> MetadataHandle {
        self.running[&member].handle.clone()
    }

    /// Waits for a leader among these members, and gives it with its lease.
    pub(super) async fn leader_among(&self, members: &[MemberId]) -> (MemberId, MetadataHandle, Lease) {
        for _ in 0..6_000 {
            for member in members {
                let handle = self.handle(*member);
                if let Leadership::Leader { lease, .. } = handle.leadership().current() {
                    return (*member, handle, lease);
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("none of {members:?} leads within 30 s");
    }

    /// Waits for a leader among all that run.
    pub(super) async fn leader(&self) -> (MemberId, MetadataHandle, Lease) {
        let members: Vec<MemberId> = self.running.keys().copied().collect();
        self.leader_among(&members).await
    }
}
