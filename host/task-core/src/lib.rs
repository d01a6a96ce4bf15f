//! One subtask: watermarks, the end of input, timers, barriers. Pure.
//!
//! Invariants:
//! - A watermark never falls, and none passes an operator before the timers that it makes due have fired.
//! - An operator finishes once: behind the end of all its inputs and behind its last watermark; what it emits while it
//!   finishes is still ahead of the last watermark of the operators below.
//! - No clock and no IO: the runner hands in what happened and carries out what it is told.
//!
//! The runner feeds each gate's channels through a [`WatermarkValve`], and what guests emit for the splits of a source
//! through [`SplitWatermarks`]; it tells [`ChainProgress`] what comes out of these, and carries out the [`Command`]s that
//! come back. [`TimerService`] has the timers that these make due. [`BarrierAligner`] says when a checkpoint is taken.

mod aligner;
mod error;
mod progress;
mod splits;
mod timers;
mod topology;
mod valve;

pub use aligner::{AlignerCommand, BarrierAligner, CHECKPOINTS_TRACKED_MAX};
pub use error::{ProgressError, TimerError};
pub use progress::{ChainProgress, Command, Input};
pub use splits::{SplitProgress, SplitWatermarks};
pub use timers::{Clock, TIMER_CHUNK_BYTES_MAX, Timer, TimerChange, TimerLimits, TimerService};
pub use valve::{GateProgress, WatermarkValve};
