//! What this process uses of its machine, guests included. Where the machine does not say, 0.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What this process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessUse {
    /// Processor time of all its threads, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory that it has in the machine's, in bytes.
    pub resident_bytes: u64,
    /// Its threads.
    pub threads: u64,
    /// Files and sockets that it has open.
    pub open_files: u64,
    /// Those that it may have open.
    pub open_files_max: u64,
}

/// What this process uses at the moment.
pub fn process_use() -> ProcessUse {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu_ns = u64::try_from(cpu.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(cpu.tv_nsec).unwrap_or(0);
    ProcessUse {
        cpu_ns,
        resident_bytes: number_behind(&status, "VmRSS:").saturating_mul(1024),
        threads: number_behind(&status, "Threads:"),
        open_files: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
        open_files_max: number_behind(&limits, "Max open files"),
    }
}

/// How busy the process is, from one look to the next; cheap to clone, all clones are one.
#[derive(Debug, Clone, Default)]
pub struct ProcessLoad {
    last: Arc<Mutex<Look>>,
}

/// A look at the process.
#[derive(Debug, Default)]
struct Look {
    at: Option<Instant>,
    cpu_ns: u64,
    millionths: u64,
}

/// Whoever looks again so soon is told the same.
const LOOK_INTERVAL: Duration = Duration::from_millis(400);

impl ProcessLoad {
    /// The share of the machine's processors that the process had up to the last look but for what is too recent, in
    /// millionths. `cpu_ns` is what the process has used so far.
    pub fn millionths(&self, cpu_ns: u64) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match last.at.map(|then| now.saturating_duration_since(then)) {
            Some(elapsed) if elapsed < LOOK_INTERVAL => {}
            elapsed => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from) as u128;
                let available_ns = elapsed.unwrap_or_default().as_nanos() * cores;
                let used_ns = u128::from(cpu_ns.saturating_sub(last.cpu_ns));
                let share = (used_ns * 1_000_000).checked_div(available_ns).unwrap_or(0).min(1_000_000);
                *last = Look { at: Some(now), cpu_ns, millionths: u64::try_from(share).unwrap_or(0) };
            }
        }
        last.millionths
    }
}

/// The first number of a line that begins so, as in `VmRSS:   16384 kB`.
fn number_behind(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_name() {
        let text = "Threads:\t12\nVmRSS:     512 kB\nMax open files            1024      4096      files\n";
        let found = ["Threads:", "VmRSS:", "Max open files", "VmSwap:"].map(|name| number_behind(text, name));
        assert_eq!(found, [12, 512, 1024, 0]);
    }

    #[test]
    fn this_process_uses_something() {
        let found = process_use();
        assert!(found.resident_bytes > 0 && found.threads > 0 && found.open_files > 0, "{found:?}");
    }
}
