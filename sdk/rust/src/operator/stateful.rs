//! Functions without keys that have state of their subtask.

use std::cell::RefCell;
use std::rc::Rc;

use super::process::ProcessContext;
use crate::batch::BatchReader;
use crate::data::Data;
use crate::error::Result;
use crate::host::Clock;
use crate::runtime::assembly::Control;
use crate::runtime::current::Label;
use crate::state::States;
use crate::state::cached::OperatorState;

/// A function with state of its subtask: Flink's `ProcessFunction` that is a `CheckpointedFunction`.
///
/// ```
/// use millrace::prelude::*;
///
/// /// Numbers the records of each subtask.
/// struct Numbered;
///
/// impl ProcessFunction<String> for Numbered {
///     type Output = (u64, String);
///     type States = OperatorListState<u64>;
///
///     fn open(&self, states: &mut States) -> Result<Self::States> {
///         states.operator_list("next")
///     }
///
///     fn process(&self, next: &Self::States, line: String, ctx: &mut ProcessContext<Self::Output>) -> Result<()> {
///         let number: u64 = next.with(|counts| counts.iter().sum())?;
///         next.update(vec![number + 1])?;
///         ctx.collect((number, line));
///         Ok(())
///     }
/// }
/// ```
pub trait ProcessFunction<T>: 'static {
    /// The type of the records that it emits.
    type Output: Data;
    /// The handles of its states: one, a tuple, or a struct of them.
    type States: 'static;

    /// Declares the states. Called once in every instance.
    fn open(&self, states: &mut States) -> Result<Self::States>;

    /// Handles a record.
    fn process(&self, states: &Self::States, value: T, ctx: &mut ProcessContext<Self::Output>) -> Result<()>;
}

/// Hands over the states of an operator that has no keys.
pub(crate) struct SubtaskStates {
    pub label: Label,
    pub tables: Vec<Rc<RefCell<dyn OperatorState>>>,
}

impl Control for SubtaskStates {
    fn timers(&mut self, _: Clock, _: &BatchReader<'_>) -> Result<()> {
        Err(self.label.error("timers for an operator that has no keys"))
    }

    fn watermark(&mut self, _: i64) -> Result<()> {
        Ok(())
    }

    fn end_call(&mut self) {}

    fn flush(&mut self) {
        for table in &self.tables {
            table.borrow_mut().flush();
        }
    }
}
