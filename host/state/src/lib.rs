//! Keyed state of one subtask.
//!
//! Invariants:
//! - A key is stored only in the subtask that its key group belongs to: a call with any other key is refused.
//! - A state belongs to an operator by its uid and to a name within it, never to an instance of a guest: whoever opens
//!   the operator again finds what was there.
//! - What a guest can ask for and leave behind is limited by [`StateLimits`]; nothing here panics because of what
//!   it asks for.
//!
//! There is one backend, in memory, which configuration calls `hashmap` after Flink's; it keeps keys in order all the
//! same, since the guest contract promises scans by key group and key.

mod backend;
mod error;
mod key;
mod limits;
mod registry;
mod table;

pub use backend::KeyedBackend;
pub use error::{Refusal, StateError};
pub use limits::StateLimits;
pub use registry::{SegmentStates, StateDescriptor, StateId};
