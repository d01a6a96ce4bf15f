//! How many rows a second a split may make.

use serde::{Deserialize, Serialize};

/// How much of a pause is made up for, in milliseconds of rows.
const BURST_MS: u64 = 1_000;

/// The shortest wait, in milliseconds: shorter ones would cost more than the rows.
const WAIT_MS_MIN: u64 = 5;

/// One of several equal parts of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Of all parts together; not 0.
    pub rows_per_second: u64,
    /// How many parts there are; not 0.
    pub parts: u64,
}

/// Hands out rows at a rate. Told the time, in milliseconds since it began.
///
/// What is owed is counted in thousandths of a row of all parts, so that nothing is lost by rounding.
#[derive(Debug, Clone)]
pub struct Limiter {
    rate: Rate,
    owed: u128,
    at_ms: u64,
}

impl Limiter {
    pub fn new(rate: Rate) -> Self {
        Self { rate, owed: 0, at_ms: 0 }
    }

    /// What one row costs.
    fn row_cost(&self) -> u128 {
        1_000 * u128::from(self.rate.parts.max(1))
    }

    /// How many rows may be made at this time.
    pub fn allowed(&mut self, now_ms: u64) -> u64 {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        let per_ms = u128::from(self.rate.rows_per_second);
        let burst = (per_ms * u128::from(BURST_MS)).max(self.row_cost());
        self.owed = (self.owed + per_ms * u128::from(elapsed_ms)).min(burst);
        u64::try_from(self.owed / self.row_cost()).unwrap_or(u64::MAX)
    }

    /// Says that rows were made, not more than allowed.
    pub fn made(&mut self, rows: u64) {
        self.owed = self.owed.saturating_sub(self.row_cost() * u128::from(rows));
    }

    /// How long to wait until a row may be made, in milliseconds.
    pub fn wait_ms(&self) -> u32 {
        let missing = self.row_cost().saturating_sub(self.owed);
        let wait_ms = missing.div_ceil(u128::from(self.rate.rows_per_second.max(1)));
        u32::try_from(wait_ms.max(u128::from(WAIT_MS_MIN))).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whoever_waits_as_told_makes_the_rows_of_the_rate(
            rows_per_second in 1u64..5_000_000, parts in 1u64..64, late_ms in prop::collection::vec(0u64..200, 1..100)
        ) {
            let mut limiter = Limiter::new(Rate { rows_per_second, parts });
            let (mut now_ms, mut made) = (0u64, 0u64);
            for late in late_ms {
                let allowed = limiter.allowed(now_ms);
                limiter.made(allowed);
                made += allowed;
                // Never ahead of the rate, never more than a row behind it.
                let exact = u128::from(rows_per_second) * u128::from(now_ms);
                let row = 1_000 * u128::from(parts);
                prop_assert!(u128::from(made) * row <= exact && exact < (u128::from(made) + 1) * row);
                let wait = u64::from(limiter.wait_ms());
                prop_assert!((u128::from(made) + 1) * row <= exact + u128::from(wait) * u128::from(rows_per_second));
                now_ms += wait + if wait + late < BURST_MS { late } else { 0 };
            }
        }
    }

    #[test]
    fn a_long_pause_is_not_made_up_for() {
        let mut limiter = Limiter::new(Rate { rows_per_second: 100, parts: 1 });
        assert_eq!(limiter.allowed(3_600_000), 100);
        assert_eq!(limiter.allowed(0), 100);
    }
}
