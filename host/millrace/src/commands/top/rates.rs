//! From what tasks have done so far to what they do: the difference between two looks.
//!
//! Invariants: a task that was restarted counts from zero again, and has a rate of zero until it passes what it had; no
//! rate is negative, no share above one.

use std::collections::VecDeque;
use std::time::Duration;

use millrace_client::api::{IoFigures, VertexSummary};

use super::look::Look;

/// The looks over which rates are taken. TaskManagers report twice a second, so that one interval alone would jump.
const LOOKS_MAX: usize = 5;

/// What a vertex does.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rates {
    /// Shares of its subtasks' time, from 0 to 1.
    pub(super) busy: f64,
    pub(super) backpressured: f64,
    /// A second.
    pub(super) records_in: f64,
    pub(super) records_out: f64,
    pub(super) bytes_out: f64,
}

/// The newest looks, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Looks(VecDeque<Look>);

impl Looks {
    pub(super) fn add(&mut self, look: Look) {
        if self.0.len() >= LOOKS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(look);
    }

    /// The newest one.
    pub(super) fn newest(&self) -> Option<&Look> {
        self.0.back()
    }

    /// What a vertex of a job does, if it was looked at twice.
    pub(super) fn rates(&self, job: &str, vertex: &VertexSummary) -> Option<Rates> {
        let newest = self.newest()?;
        let figures = |look: &Look| {
            let details = look.details.get(job)?;
            details.job.vertices.iter().find(|found| found.id == vertex.id).map(|found| found.metrics)
        };
        let (first, before) = self.0.iter().find_map(|look| Some((look, figures(look)?)))?;
        let between = newest.at.saturating_duration_since(first.at);
        (!between.is_zero()).then(|| rates(&before, &vertex.metrics, vertex.parallelism, between))
    }
}

fn rates(before: &IoFigures, now: &IoFigures, parallelism: u32, between: Duration) -> Rates {
    let seconds = between.as_secs_f64();
    let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
    let share = |ms: f64| (ms / (seconds * 1_000.0 * f64::from(parallelism.max(1)))).clamp(0.0, 1.0);
    let backpressured = now.accumulated_backpressured_time.saturating_sub(before.accumulated_backpressured_time);
    Rates {
        busy: share(now.accumulated_busy_time - before.accumulated_busy_time),
        backpressured: share(backpressured as f64),
        records_in: rate(before.read_records, now.read_records),
        records_out: rate(before.write_records, now.write_records),
        bytes_out: rate(before.write_bytes, now.write_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_between_and_of_all_subtasks() {
        let before = IoFigures { read_records: 1_000, accumulated_busy_time: 500.0, ..IoFigures::default() };
        let now = IoFigures {
            read_records: 5_000,
            write_bytes: 800,
            accumulated_busy_time: 4_500.0,
            accumulated_backpressured_time: 9_000,
            ..IoFigures::default()
        };
        let found = rates(&before, &now, 4, Duration::from_secs(2));
        let expected = Rates { busy: 0.5, backpressured: 1.0, records_in: 2_000.0, records_out: 0.0, bytes_out: 400.0 };
        assert_eq!(found, expected);
        // It was restarted.
        assert_eq!(rates(&now, &before, 4, Duration::from_secs(2)), Rates::default());
    }
}
