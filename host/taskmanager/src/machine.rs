//! What the machine has. Where it does not say, 0.

use std::fs;

/// All memory, and the memory that is available, in bytes.
pub(crate) fn memory_bytes() -> (u64, u64) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    (field_bytes(&text, "MemTotal:"), field_bytes(&text, "MemAvailable:"))
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
