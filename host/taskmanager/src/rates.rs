//! How fast numbers grow that only grow. Pure: whoever uses it says what time it is.

use std::time::Duration;

/// The least time that a rate is taken over, once there is so much; the most is twice that.
pub(crate) const WINDOW: Duration = Duration::from_millis(2_500);

/// Numbers at a time.
#[derive(Debug, Clone, Default)]
struct Reading {
    at: Duration,
    values: Vec<u64>,
}

/// Two readings of a list of numbers: rates are taken since the older one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rates {
    older: Reading,
    newer: Reading,
}

impl Rates {
    /// Rates from here on.
    pub(crate) fn begin(&mut self, now: Duration, values: &[u64]) {
        let reading = Reading { at: now, values: values.to_vec() };
        (self.older, self.newer) = (reading.clone(), reading);
    }

    /// Keeps a reading if it is time for another one.
    pub(crate) fn note(&mut self, now: Duration, values: &[u64]) {
        if !self.newer.values.is_empty() && now.saturating_sub(self.newer.at) >= WINDOW {
            let reading = Reading { at: now, values: values.to_vec() };
            self.older = std::mem::replace(&mut self.newer, reading);
        }
    }

    /// By how much each number grows in a second, times 1,000; none before they begin.
    pub(crate) fn per_second_milli(&self, now: Duration, values: &[u64]) -> Vec<u64> {
        let elapsed_ms = now.saturating_sub(self.older.at).as_millis();
        if self.older.values.is_empty() || elapsed_ms == 0 {
            return vec![0; values.len()];
        }
        let growth = values.iter().zip(&self.older.values).map(|(now, then)| now.saturating_sub(*then));
        let milli = growth.map(|growth| u128::from(growth) * 1_000_000 / elapsed_ms);
        milli.map(|milli| u64::try_from(milli).unwrap_or(u64::MAX)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_rate_is_the_growth_over_the_window() {
        let mut rates = Rates::default();
        assert_eq!(rates.per_second_milli(MS(10), &[5]), [0], "not begun");
        rates.begin(MS(100), &[10, 0]);
        assert_eq!(rates.per_second_milli(MS(100), &[10, 0]), [0, 0], "no time has passed");
        assert_eq!(rates.per_second_milli(MS(1_100), &[30, 1]), [20_000, 1_000]);
    }

    #[test]
    fn what_lies_behind_the_window_is_forgotten() {
        let mut rates = Rates::default();
        rates.begin(MS(0), &[0]);
        // 1,000 a second for three windows, then nothing for three.
        let at = |half: u64| (MS(half * 2_500), [half.min(3) * 2_500]);
        for half in 1..=5 {
            let (now, values) = at(half);
            rates.note(now, &values);
            rates.note(now + MS(1), &values);
        }
        let (now, values) = at(6);
        assert_eq!(rates.per_second_milli(now, &values), [0]);
        assert!(rates.older.at > MS(0));
    }
}
