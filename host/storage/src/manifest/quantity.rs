//! Amounts as a manifest writes them, within bounds.

use millrace_types::{format_bytes, parse_bytes, parse_duration_ms};
use serde::{Deserialize, Serialize};

/// What a 32-bit linear memory can have at most, in bytes.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// The longest deadline of a call, in milliseconds.
const DURATION_MS_MAX: u64 = 3_600_000;

/// An amount of memory, such as `256 MiB`; from one byte to 4 GiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemorySize {
    text: String,
    bytes: u64,
}

impl MemorySize {
    /// The amount, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl TryFrom<String> for MemorySize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match parse_bytes(&text).map_err(|cause| cause.to_string())? {
            0 => Err(format!("\"{text}\" is nothing: write an amount of memory above it")),
            bytes if bytes > MEMORY_BYTES_MAX => {
                Err(format!("\"{text}\" is more than {}, the largest amount", format_bytes(MEMORY_BYTES_MAX)))
            }
            bytes => Ok(Self { text, bytes }),
        }
    }
}

impl From<MemorySize> for String {
    fn from(size: MemorySize) -> Self {
        size.text
    }
}

/// A span of time, such as `10 s`; from one millisecond to one hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration {
    text: String,
    ms: u64,
}

impl Duration {
    /// The span, in milliseconds.
    pub fn ms(&self) -> u64 {
        self.ms
    }
}

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match parse_duration_ms(&text).map_err(|cause| cause.to_string())? {
            0 => Err(format!("\"{text}\" is no time at all: write a span of time above it")),
            ms if ms > DURATION_MS_MAX => Err(format!("\"{text}\" is more than 1 h, the longest span")),
            ms => Ok(Self { text, ms }),
        }
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.text
    }
}
