//! The roles that a process can play, one file each, and what they have in common.

pub(crate) mod application;
mod folder;
pub(crate) mod jobmanager;
mod members;
mod native;
mod setup;
pub(crate) mod standalone;
pub(crate) mod taskmanager;

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
pub(crate) use members::parse_addresses;
use millrace_types::{LogTail, Timestamp};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Threads of the control plane. Tasks have a runtime of their own, so that no guest can delay these.
const CONTROL_THREADS: usize = 2;

/// How long requests and tasks under way may take to end when the process is told to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a role to its end on the threads of the control plane.
fn block_on<T>(role: impl Future<Output = Result<T>>) -> Result<T> {
    start_logging();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("millrace-control")
        .enable_all()
        .build()
        .context("cannot start the control threads")?;
    let outcome = runtime.block_on(async {
        survive_full_disks()?;
        role.await
    });
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    outcome
}

/// Logs go to standard error, so that standard output is for what scripts read.
fn start_logging() {
    // openraft tells of each call to a member that is gone; what matters of it is told where it is used.
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLRACE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,openraft=off"));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let to_people = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    let to_clients = tracing_subscriber::fmt::layer().with_writer(|| ToTail).with_ansi(false);
    tracing_subscriber::registry().with(filter).with(to_people).with(to_clients).init();
}

/// The newest lines of this process's log, which REST shows.
pub(crate) static PROCESS_LOG: LazyLock<LogTail> = LazyLock::new(LogTail::default);

/// Writes lines into [`PROCESS_LOG`]; each comes in one call.
struct ToTail;

impl std::io::Write for ToTail {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        PROCESS_LOG.push(line, Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has writes beyond the limit of file sizes fail with EFBIG. Unless it is handled, the signal that comes with the first
/// such write ends the process, while a full disk only fails the write.
fn survive_full_disks() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // The handler stays for the life of the process, whether or not anybody listens.
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    signal(kind).map(drop).context("cannot handle SIGXFSZ")
}

/// Completes when the process is told to stop.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = tokio::signal::ctrl_c() => (),
        }
    })
}
