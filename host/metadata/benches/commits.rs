//! How long decisions take: one client, and 64 that share what a commit costs; alone, and by a group of three over the
//! loopback interface. `MILLRACE_BENCH_DIR` names the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a bench")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_metadata::{Formation, Leadership, MemberAddresses, MetadataHandle, MetadataOptions, MetadataService};
use millrace_metadata_core::Command;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

struct Group {
    members: Vec<(MetadataService, MetadataHandle)>,
    _folder: TempDir,
}

fn folder() -> TempDir {
    let under = std::env::var_os("MILLRACE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(under).unwrap()
}

fn open(folder: &Path, places: &BTreeMap<u64, SocketAddr>, member: u64) -> (MetadataService, MetadataHandle) {
    let at = |address: &SocketAddr| MemberAddresses { rpc: address.to_string(), rest: String::new() };
    let formation = Formation::Bootstrap(places.iter().map(|(member, place)| (*member, at(place))).collect());
    let path = folder.join(format!("{member}.redb"));
    let (service, handle) =
        MetadataService::open(&MetadataOptions { member, formation, ..MetadataOptions::new(path) }).unwrap();
    service.listen(places[&member]).unwrap();
    (service, handle)
}

fn group(count: u64) -> Group {
    let folder = folder();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let places: BTreeMap<u64, SocketAddr> = (1..=count).map(|member| (member, free())).collect();
    let members = places.keys().map(|member| open(folder.path(), &places, *member)).collect();
    Group { members, _folder: folder }
}

impl Group {
    async fn leader(&self) -> MetadataHandle {
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            for (_, handle) in &self.members {
                if matches!(handle.leadership().current(), Leadership::Leader { .. }) {
                    return handle.clone();
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nobody leads");
    }
}

/// So many commands from so many clients, each of which waits for its answers.
async fn commands(handle: &MetadataHandle, clients: u64, count: u64) {
    let clients = (0..clients).map(|client| {
        let handle = handle.clone();
        let mine = count / clients + u64::from(client < count % clients);
        tokio::spawn(async move {
            for _ in 0..mine {
                handle.propose(Command::ReserveIds { count: 1 }).await.unwrap();
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

fn commits(criterion: &mut Criterion) {
    let runtime: Runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut bench = criterion.benchmark_group("metadata/commands");
    bench.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(3));
    for members in [1, 3] {
        let group = group(members);
        for clients in [1, 64] {
            let id = BenchmarkId::new(format!("{members} members"), format!("{clients} clients"));
            bench.bench_function(id, |bencher| {
                bencher.iter_custom(|count| {
                    let handle = runtime.block_on(group.leader());
                    let since = Instant::now();
                    runtime.block_on(commands(&handle, clients, count));
                    since.elapsed()
                });
            });
        }
    }
    bench.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
