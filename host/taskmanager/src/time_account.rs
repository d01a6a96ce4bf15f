//! Where the time of a subtask goes. Pure: whoever uses it says what time it is.

use std::time::Duration;

/// What a subtask is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Working.
    Busy,
    /// Waiting for input or splits.
    Idle,
    /// Waiting for output buffers.
    Backpressured,
}

/// How long a subtask has been at what. Times count from any fixed point of a clock that never goes back.
#[derive(Debug, Clone)]
pub(crate) struct TimeAccount {
    activity: Activity,
    since: Duration,
    totals: [Duration; 3],
}

impl TimeAccount {
    pub(crate) fn new(now: Duration, activity: Activity) -> Self {
        Self { activity, since: now, totals: [Duration::ZERO; 3] }
    }

    /// What is done from now on. Returns what was done before.
    pub(crate) fn switch(&mut self, now: Duration, activity: Activity) -> Activity {
        self.totals[self.activity as usize] += now.saturating_sub(self.since);
        self.since = now;
        std::mem::replace(&mut self.activity, activity)
    }

    /// What is done at the moment.
    pub(crate) fn activity(&self) -> Activity {
        self.activity
    }

    /// The whole time of an activity so far, what goes on at the moment included, in milliseconds.
    pub(crate) fn total_ms(&self, now: Duration, activity: Activity) -> u64 {
        let current = if self.activity == activity { now.saturating_sub(self.since) } else { Duration::ZERO };
        u64::try_from((self.totals[activity as usize] + current).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_counts_once() {
        let ms = Duration::from_millis;
        let mut account = TimeAccount::new(ms(10), Activity::Busy);
        assert_eq!(account.switch(ms(15), Activity::Idle), Activity::Busy);
        assert_eq!(account.switch(ms(115), Activity::Backpressured), Activity::Idle);
        assert_eq!(account.switch(ms(120), Activity::Busy), Activity::Backpressured);
        let totals = |now| {
            [Activity::Busy, Activity::Idle, Activity::Backpressured]
                .map(|activity| account.total_ms(ms(now), activity))
        };
        assert_eq!(totals(120), [5, 100, 5]);
        assert_eq!(totals(127), [12, 100, 5], "what goes on counts at once");
    }
}
