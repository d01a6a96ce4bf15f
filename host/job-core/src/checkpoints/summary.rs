//! Figures over many checkpoints: least, most, average, and percentiles of the newest.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The newest values that percentiles are taken of.
const RECENT_MAX: usize = 1_000;

/// Figures over many values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
    recent: VecDeque<u64>,
}

impl Figures {
    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(value);
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least value; 0 if there was none.
    pub fn min(&self) -> u64 {
        self.min
    }

    /// The largest value; 0 if there was none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The average, rounded down; 0 if there was no value.
    pub fn average(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// A percentile of the newest values, above 0 and up to 100, interpolated as Flink does; `None`: there was no value.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let mut sorted: Vec<u64> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let position = percent * (sorted.len() as f64 + 1.0) / 100.0;
        let below = position.floor() as usize;
        Some(match (below, sorted.get(below)) {
            (0, _) => first as f64,
            (_, None) => last as f64,
            (_, Some(upper)) => {
                let lower = sorted[below - 1] as f64;
                lower + position.fract() * (*upper as f64 - lower)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_flinks() {
        // The durations of a recorded job, whose percentiles Flink shows as these.
        let mut figures = Figures::default();
        assert_eq!((figures.percentile(50.0), figures.average(), figures.min()), (None, 0, 0));
        for value in [0, 0, 0, 18_862, 47_490, 61_606] {
            figures.add(value);
        }
        assert_eq!(figures.percentile(50.0), Some(9_431.0));
        assert_eq!(figures.percentile(90.0), Some(61_606.0));
        assert_eq!(figures.percentile(1.0), Some(0.0));
        assert_eq!((figures.min(), figures.max(), figures.average(), figures.count()), (0, 61_606, 21_326, 6));
    }

    #[test]
    fn old_values_leave_the_percentiles_and_stay_in_the_extremes() {
        let mut figures = Figures::default();
        figures.add(1_000_000);
        (0..RECENT_MAX).for_each(|_| figures.add(7));
        assert_eq!(figures.percentile(99.9), Some(7.0));
        assert_eq!((figures.max(), figures.recent.len()), (1_000_000, RECENT_MAX));
    }
}
