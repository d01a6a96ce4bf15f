//! What the machine and this process have. Where they do not say, 0.

use std::fs;

/// All memory, and the memory that is available, in bytes.
pub(crate) fn memory_bytes() -> (u64, u64) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    (field_bytes(&text, "MemTotal:"), field_bytes(&text, "MemAvailable:"))
}

/// What this process uses.
pub(crate) struct ProcessUse {
    /// Processor time of all its threads, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory that it has in the machine's, in bytes.
    pub resident_bytes: u64,
    pub threads: u64,
    /// Files and sockets that it has open.
    pub open_files: u64,
}

pub(crate) fn process() -> ProcessUse {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu_ns = u64::try_from(cpu.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(cpu.tv_nsec).unwrap_or(0);
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    ProcessUse {
        cpu_ns,
        resident_bytes: field_bytes(&status, "VmRSS:"),
        threads: threads.and_then(|text| text.trim().parse().ok()).unwrap_or(0),
        open_files: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
    }
}

/// A line such as `MemTotal:       16384256 kB`.
fn field_bytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_name() {
        let text = "MemTotal:        2048 kB\nMemFree:          10 kB\nMemAvailable:    512 kB\n";
        assert_eq!((field_bytes(text, "MemTotal:"), field_bytes(text, "MemAvailable:")), (2 << 20, 512 << 10));
        assert_eq!(field_bytes("MemTotal: much kB", "MemTotal:"), 0);
    }
}
