//! Keyed state: a bounded write-back cache of what the host keeps.
//!
//! Values stay decoded in linear memory while they are hot. Before a batch is worked on, the keys of all its rows
//! are known, and what is missing is read in one `get` per state. Changed values are handed over by `flush`, and
//! earlier if they grow many; only values that the host has are ever forgotten. Invariants: a cell that is dirty is
//! in its table's list of dirty cells and its key is not evicted; a table that is *complete* has a cell for every
//! key of which the host has a value.

pub(crate) mod backing;
pub(crate) mod cached;
mod chain;
pub(crate) mod hash;
pub(crate) mod index;
pub(crate) mod keys;
pub(crate) mod namespaced;
pub(crate) mod registry;
pub(crate) mod store;
pub(crate) mod table;
pub(crate) mod timers;
pub(crate) mod value;

pub use registry::States;
pub use value::ValueState;
