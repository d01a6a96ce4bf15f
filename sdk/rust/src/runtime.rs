//! Running operators: the calls of the interface `operator`, free of the ABI.
//!
//! Within an instance, each operator holds its downstream, and records are pushed through as typed values: nothing
//! is encoded before the segment's end. Invariants: no output, no timer and no watermark is held back between two
//! calls; after a flush nothing is held at all that the host does not have.

pub(crate) mod assembly;
pub(crate) mod current;
pub(crate) mod input;
pub(crate) mod instance;
pub(crate) mod port;
pub(crate) mod receiver;

pub use current::operator_name;
pub use instance::{Instance, OpenContext, PollStatus, Polled, StateDescriptor, StateKind};
