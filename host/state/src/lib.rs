//! Keyed state of one subtask: where it lives, what changed of it, and how snapshots are written, merged and restored.
//!
//! Everything here is synchronous. A task's life with it:
//!
//! 1. [`KeyedBackend::open`]; with periodic checkpoints [`KeyedBackend::set_tracking`].
//! 2. After a failure or from a savepoint [`KeyedBackend::restore`] for each operator, which gives its timers, and
//!    [`KeyedBackend::restore_operator_state`] with what [`OperatorState::redistribute`] dealt out. A [`SegmentChain`]
//!    for each operator remembers which files its state consists of.
//! 3. [`KeyedBackend::open_segment`] for each instance, then `get`, `scan` and `put`.
//! 4. At a barrier, after the guests' flush, [`KeyedBackend::seal`]. Elsewhere each [`SealedSegment`] writes itself;
//!    when its file is durable it is pushed to the chain, in order, and the chain's segments are acknowledged. For a
//!    savepoint [`KeyedBackend::seal_base`].
//! 5. In the background, [`SegmentChain::begin_merge`], [`merge`], [`SegmentChain::end_merge`].
//!
//! Invariants:
//! - A key is stored only in the subtask that its key group belongs to: a call with any other key is refused.
//! - A state belongs to an operator by its uid and to a name within it, never to an instance of a guest: whoever opens
//!   the operator again finds what was there. States that new code does not open stay and are part of snapshots.
//! - What was sealed is in the segments that the seal gave, and never in those of another seal: a chain of all segments is
//!   complete, whatever became of the checkpoints that they were sealed for.
//! - What a guest can ask for and leave behind is limited by [`StateLimits`]; nothing here panics because of what
//!   it asks for, nor because of what a file contains.
//!
//! Both backends keep keys in order, since the guest contract promises scans by key group and state key: `hashmap`, called
//! so after Flink's, in memory; `redb` in a scratch file.

mod address;
mod backend;
mod chain;
mod error;
mod fingerprint;
mod key;
mod limits;
mod merge;
mod operator_state;
mod registry;
mod sealed;
mod segment;
mod store;
mod timer;

pub use address::{split_state_key, state_key};
pub use backend::{BackendOptions, KeyedBackend, Storage};
pub use chain::{ChainSegment, MergePolicy, MergeTicket, SegmentChain};
pub use error::{Refusal, StateError};
pub use fingerprint::fingerprint_accepts;
pub use limits::StateLimits;
pub use merge::{MERGE_SEGMENTS_MAX, MergeOptions, merge};
pub use operator_state::{OperatorState, OperatorStateError, SubtaskState};
pub use registry::{SegmentStates, StateDescriptor, StateId};
pub use sealed::{Sealed, SealedOperator, SealedSegment};
pub use segment::{
    FileSource, SEGMENT_CHUNK_BYTES, SegmentError, SegmentFault, SegmentInput, SegmentSink, SegmentSource,
    SegmentSummary,
};
pub use timer::{StateTimer, TimerClock, TimerUpdate};
