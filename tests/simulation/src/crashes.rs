//! Deaths of the leader at chosen steps of its work: before an input of a JobMaster, before a command of it, and before the
//! metadata store decides what it has proposed.

use std::fmt::Debug;

/// A death of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// Before which step, counted over all leaders.
    pub step: usize,
    /// Whether messages of the leader that are on their way may be lost with it.
    pub lost: bool,
}

/// The steps of leaders, and at which of them they die.
#[derive(Debug, Default)]
pub(crate) struct Crashes {
    pub(crate) planned: Vec<Crash>,
    pub(crate) steps: Vec<String>,
    /// Whether the steps are named.
    pub(crate) named: bool,
    count: usize,
}

impl Crashes {
    /// A step begins; the crash that is due before it.
    pub(crate) fn step(&mut self, name: impl FnOnce() -> String) -> Option<Crash> {
        if self.named {
            self.steps.push(name());
        }
        let due = self.planned.iter().find(|crash| crash.step == self.count).copied();
        self.count += 1;
        due
    }
}

/// What kind of input, command or proposal it is.
pub(crate) fn name_of(of: &impl Debug) -> String {
    let text = format!("{of:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}
