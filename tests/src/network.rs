//! The network between the JobManagers of a group, which a test can cut: what is sent over a cut link is lost sight of
//! until the cut heals, and then arrives late, as with a router that hangs.
//!
//! Each JobManager is told to others by the address of a relay. Who connects to a relay is known by its process: Linux
//! says whose socket has the port that a connection comes from.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::ports::free_address;

/// What a relay reads at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Relays in front of JobManagers; they end with this.
pub struct Network {
    /// Where the relays listen, by JobManager.
    pub reached: Vec<String>,
    cuts: Arc<watch::Sender<Cuts>>,
    /// On threads of its own: tests block theirs.
    runtime: Option<Runtime>,
}

/// What is cut: the JobManagers that each process, by its id, cannot speak to.
type Cuts = BTreeSet<(u32, usize)>;

impl Network {
    /// Relays to JobManagers that will listen at these addresses.
    pub fn new(behind: &[String]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let entered = runtime.enter();
        let cuts = Arc::new(watch::Sender::new(Cuts::default()));
        let mut reached = Vec::new();
        for (index, behind) in behind.iter().enumerate() {
            let address = free_address()?;
            let listener = std::net::TcpListener::bind(&address)?;
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            runtime.spawn(relay(listener, behind.clone(), index, cuts.subscribe()));
            reached.push(address);
        }
        drop(entered);
        Ok(Self { reached, cuts, runtime: Some(runtime) })
    }

    /// Lets a process and a JobManager not hear of each other over connections that the process has made.
    pub fn cut(&self, process: u32, job_manager: usize) {
        self.cuts.send_modify(|cuts| {
            cuts.insert((process, job_manager));
        });
    }

    /// Heals all cuts.
    pub fn heal(&self) {
        self.cuts.send_modify(Cuts::clear);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn relay(listener: TcpListener, behind: String, index: usize, cuts: watch::Receiver<Cuts>) {
    while let Ok((incoming, from)) = listener.accept().await {
        let process = process_of(from);
        let (behind, cuts) = (behind.clone(), cuts.clone());
        tokio::spawn(async move {
            let Ok(outgoing) = TcpStream::connect(&behind).await else { return };
            let _ = (incoming.set_nodelay(true), outgoing.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) = (incoming.into_split(), outgoing.into_split());
            let link = process.map(|process| (process, index));
            tokio::select! {
                () = carry(from_client, to_server, link, cuts.clone()) => {}
                () = carry(from_server, to_client, link, cuts) => {}
            }
        });
    }
}

/// Carries bytes one way until either end closes; while the link is cut they wait.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    link: Option<(u32, usize)>,
    mut cuts: watch::Receiver<Cuts>,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let Ok(bytes @ 1..) = from.read(&mut buffer).await else { return };
        let open = cuts.wait_for(|cuts| link.is_none_or(|link| !cuts.contains(&link)));
        if open.await.is_err() || to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}

/// The process whose socket has this address of this machine.
fn process_of(address: SocketAddr) -> Option<u32> {
    let socket = format!("socket:[{}]", inode_of(address.port()).ok()?);
    let has_it = |process: &u32| {
        let files = std::fs::read_dir(format!("/proc/{process}/fd")).ok();
        let links = files.into_iter().flatten().filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        links.into_iter().any(|link| link.as_os_str() == socket.as_str())
    };
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).find(has_it)
}

/// The inode of the socket with this local port: the tenth word of its line in `/proc/net/tcp`.
fn inode_of(port: u16) -> Result<u64> {
    let sockets = std::fs::read_to_string("/proc/net/tcp")?;
    let local = format!(":{port:04X}");
    let line = sockets.lines().skip(1).find(|line| {
        let mut words = line.split_whitespace();
        words.nth(1).is_some_and(|address| address.ends_with(&local))
    });
    let inode = line.and_then(|line| line.split_whitespace().nth(9)).context("no socket has that port")?;
    Ok(inode.parse()?)
}
