//! The `http-lookup` operator: asks an HTTP service about each record.
//!
//! Invariants:
//! - A request goes to the origin that the options state and to no other: it is part of no placeholder, has to be among
//!   [`HttpOrigins`], and no redirection is followed.
//! - What a service answers is bounded before it is stored.

mod lookup;
mod options;
mod origins;
mod record;
mod template;

pub use options::HttpLookupPlan;
pub use origins::HttpOrigins;
