//! The data plane: channels with credits, the gates that read them, and the writers that spread records over them.
//!
//! Invariants:
//! - Whatever is sent waits for credit first, save for a barrier that overtakes, which goes only if it has a place: a
//!   channel holds at most [`CHANNEL_ITEMS_MAX`] items and [`BARRIERS_MAX`] such barriers, all channels of a
//!   TaskManager together at most the bytes of its [`BufferBudget`] and one batch for each channel. A writer holds a
//!   few batches more that have not asked for credit yet.
//! - A channel whose consumer takes what arrives always moves on, whatever other channels do (the argument stands at
//!   [`BufferBudget`]).
//! - A batch is moved or shared, and copied only where rows are regrouped: spread by key, or too few to travel alone.
//! - When either end of a channel vanishes, the other end learns of it, and nothing of the channel remains.
//!
//! A channel is a [`ChannelSender`] at one end and a place in a [`Gate`] at the other. Between tasks of one process the
//! two share a queue. Between processes there is a [`DataPlane`] on either side, with the same two ends: it fills a gate
//! from its frames through a sender that the [`Exchange`] gives it, and its credits are those that the gate's side of
//! the channel returned.

mod budget;
mod capture;
mod channel;
pub mod control;
mod error;
mod exchange;
mod gate;
mod item;
mod plane;
mod priority;
mod selector;
#[cfg(test)]
mod testing;
mod writer;

pub use budget::BufferBudget;
pub use capture::{CaptureError, InFlight};
pub use channel::{BARRIERS_MAX, CHANNEL_ITEMS_MAX, ChannelSender, Credit};
pub use error::{Cause, ChannelClosed, DataPlaneError, ExchangeError, GateError, WriteError};
pub use exchange::{CONNECT_TIMEOUT, Exchange};
pub use gate::{Gate, Received};
pub use item::Item;
pub use plane::{DataPlane, DataPlaneFigures, DataPlaneOptions};
pub use writer::{EdgeOptions, OutputEdgeWriter};
