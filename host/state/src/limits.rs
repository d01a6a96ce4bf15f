//! What the state of one subtask may grow to.

use millrace_types::RECORD_BYTES_MAX;

/// The limits of one subtask's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLimits {
    /// The longest state key and value together, in bytes, appended parts included: a longer entry could not be read
    /// back.
    pub entry_bytes_max: u32,
    /// The longest answer to one `get` or `scan`, in bytes. It must have room for one entry and its row's 32 bytes.
    pub answer_bytes_max: u32,
    /// All state keys and values in memory with [`StateLimits::ENTRY_BYTES`] each, in bytes: all entries of the backend
    /// `hashmap`, and the states that are not keyed of both.
    pub total_bytes_max: u64,
    /// The most states of all operators.
    pub states_max: usize,
}

impl StateLimits {
    /// What an entry costs besides the bytes of its state key and value, in bytes: its place in the tree and the
    /// allocator's bookkeeping, roughly.
    pub const ENTRY_BYTES: u64 = 64;

    /// What an entry costs, in bytes.
    pub(crate) fn cost(key: &[u8], value_len: usize) -> u64 {
        (key.len() + value_len) as u64 + Self::ENTRY_BYTES
    }
}

impl Default for StateLimits {
    fn default() -> Self {
        Self {
            entry_bytes_max: RECORD_BYTES_MAX,
            answer_bytes_max: 4 * RECORD_BYTES_MAX,
            total_bytes_max: 2 * 1024 * 1024 * 1024,
            states_max: 256,
        }
    }
}
