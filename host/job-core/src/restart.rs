//! Restart strategies: whether a job that has failed runs again, and after what delay.
//!
//! Names, defaults and rules are Flink's, with one deviation: the first restart after a quiet time is immediate, since
//! nothing then speaks for a failure that comes back at once. Quiet is a job that has never failed, or whose tasks were
//! last deployed at least so long ago:
//! - fixed-delay: a minute, or the delay if that is longer;
//! - failure-rate: the interval of the rate;
//! - exponential-delay: the threshold that also resets the backoff.
//!
//! Invariant: pure. The same failures at the same times, and the same seed, give the same delays.

mod decimal;
mod options;
mod policy;
mod strategy;

pub use decimal::{Decimal, DecimalError};
pub use options::{RESTART_OPTIONS, RestartOptions};
pub(crate) use policy::RestartPolicy;
pub use strategy::{ExponentialDelay, RestartStrategy};
