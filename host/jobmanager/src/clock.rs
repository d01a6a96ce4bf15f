//! The only place of this crate that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use millrace_types::Timestamp;

/// Now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
