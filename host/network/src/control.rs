//! The control RPC between JobManager and TaskManagers: gRPC over HTTP/2 by tonic, messages by serde.
//!
//! A TaskManager dials the JobManager and keeps one bidirectional stream open for as long as it is registered. What
//! [`millrace_protocol`] defines travels on it in both directions, in order; the stream's end is the end of that life
//! of the TaskManager. Components are fetched by calls of their own on the same connection, so that a large one delays
//! no message.
//!
//! Invariants:
//! - The first message states the version and the TaskManager's id; nothing else is taken before it was welcomed.
//! - A message that cannot be decoded, is too large or comes out of turn ends its connection and is counted; no other
//!   connection notices.
//! - Both directions are bounded: a peer that does not read makes its sender wait, and silence beyond the heartbeat
//!   timeout ends the connection on either side.

mod client;
mod codec;
mod error;
mod link;
mod messages;
mod questions;
mod server;
mod session;

pub use client::{ComponentClient, ControlClient, ControlClientOptions, ControlEvent, LogAnswers};
pub use error::{ControlError, LinkClosed};
pub use link::TaskManagerLink;
pub use messages::CONTROL_VERSION;
pub use server::{
    ControlHandler, ControlServer, ControlServerFigures, ControlServerOptions, HttpRequest, HttpResponse,
    LeaderHandler, Mounted,
};
