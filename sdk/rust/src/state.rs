//! Keyed state: a bounded write-back cache of what the host keeps.
//!
//! Values stay decoded in linear memory while they are hot. Before a batch is worked on, the keys of all its rows
//! are known, and what is missing is read in one `get` per state. Changed values are handed over by `flush`, and
//! earlier if they grow many; only values that the host has are ever forgotten. Invariants: a cell that is dirty is
//! in its table's list of dirty cells and its key is not evicted; a table that is *complete* has a cell for every
//! key of which the host has a value.

pub(crate) mod backing;
pub(crate) mod broadcast;
pub(crate) mod cached;
mod chain;
pub(crate) mod hash;
pub(crate) mod index;
pub(crate) mod keys;
pub(crate) mod list;
mod list_table;
pub(crate) mod map;
pub(crate) mod namespaced;
pub(crate) mod operator_list;
pub(crate) mod registry;
pub(crate) mod store;
pub(crate) mod table;
pub(crate) mod timers;
pub(crate) mod ttl;
pub(crate) mod value;

pub use broadcast::BroadcastState;
pub use list::ListState;
pub use map::MapState;
pub use operator_list::OperatorListState;
pub use registry::States;
pub use ttl::{StateTtlConfig, StateVisibility, UpdateType};
pub use value::{AggregatingState, ReducingState, ValueState};
