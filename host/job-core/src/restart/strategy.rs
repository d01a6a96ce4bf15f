//! The strategies, and how Flink describes them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::decimal::Decimal;

/// Whether a job that has failed runs again. Made from [`super::RestartOptions`], which check the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RestartStrategy {
    /// It does not: Flink's default without checkpoints.
    #[default]
    None,
    /// So many times in its life.
    FixedDelay {
        /// How many times.
        attempts: u32,
        /// How long to wait before each, in milliseconds.
        delay_ms: u64,
    },
    /// As long as it does not fail too often.
    FailureRate {
        /// How often it may fail within the interval.
        failures_max: u32,
        /// The interval, in milliseconds.
        interval_ms: u64,
        /// How long to wait before each restart, in milliseconds.
        delay_ms: u64,
    },
    /// After delays that grow with each failure.
    ExponentialDelay(ExponentialDelay),
}

/// Delays that grow with each failure, until the job has run without one for long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExponentialDelay {
    /// The first delay, and the shortest, in milliseconds.
    pub backoff_ms_initial: u64,
    /// The longest delay, in milliseconds.
    pub backoff_ms_max: u64,
    /// What each delay is of the one before.
    pub multiplier: Decimal,
    /// How long the job has to run without a failure until delays start again from the first one, in milliseconds.
    pub reset_threshold_ms: u64,
    /// By what part of itself a delay is made longer or shorter, so that jobs that failed together do not start
    /// together.
    pub jitter_factor: Decimal,
    /// How many restarts there may be until the delays start again from the first one.
    pub attempts_max: u32,
}

impl fmt::Display for RestartStrategy {
    /// Flink's description, as `/jobs/:id/config` shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("Restart deactivated."),
            Self::FixedDelay { attempts, delay_ms } => {
                write!(f, "Restart with fixed delay ({}). #{attempts} restart attempts.", Iso(*delay_ms))
            }
            Self::FailureRate { failures_max, interval_ms, delay_ms } => write!(
                f,
                "Failure rate restart with maximum of {failures_max} failures within interval {} and fixed delay {}.",
                Iso(*interval_ms),
                Iso(*delay_ms)
            ),
            Self::ExponentialDelay(delay) => write!(
                f,
                "Restart with exponential delay: starting at {}, increasing by {}, with maximum {}. Delay resets after \
                 {} with jitter {}",
                Iso(delay.backoff_ms_initial),
                delay.multiplier,
                Iso(delay.backoff_ms_max),
                Iso(delay.reset_threshold_ms),
                delay.jitter_factor
            ),
        }
    }
}

/// A span of time in milliseconds, in the notation of ISO 8601 that Java uses: `PT1M30.5S`.
struct Iso(u64);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes) = (self.0 / 3_600_000, self.0 / 60_000 % 60);
        let (seconds, millis) = (self.0 / 1_000 % 60, self.0 % 1_000);
        f.write_str("PT")?;
        if hours > 0 {
            write!(f, "{hours}H")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}M")?;
        }
        if millis > 0 {
            let fraction = format!("{millis:03}");
            write!(f, "{seconds}.{}S", fraction.trim_end_matches('0'))?;
        } else if seconds > 0 || self.0 == 0 {
            write!(f, "{seconds}S")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_described_as_flink_describes_them() {
        let described = |strategy: RestartStrategy| strategy.to_string();
        assert_eq!(described(RestartStrategy::None), "Restart deactivated.");
        assert_eq!(
            described(RestartStrategy::FixedDelay { attempts: 5, delay_ms: 1_000 }),
            "Restart with fixed delay (PT1S). #5 restart attempts."
        );
        assert_eq!(
            described(RestartStrategy::FailureRate { failures_max: 5, interval_ms: 60_000, delay_ms: 15_000 }),
            "Failure rate restart with maximum of 5 failures within interval PT1M and fixed delay PT15S."
        );
        let exponential = ExponentialDelay {
            backoff_ms_initial: 1_000,
            backoff_ms_max: 60_000,
            multiplier: Decimal::from_millionths(1_500_000),
            reset_threshold_ms: 3_600_000,
            jitter_factor: Decimal::from_millionths(100_000),
            attempts_max: 3,
        };
        assert_eq!(
            described(RestartStrategy::ExponentialDelay(exponential)),
            "Restart with exponential delay: starting at PT1S, increasing by 1.500000, with maximum PT1M. Delay resets \
             after PT1H with jitter 0.100000"
        );
    }

    #[test]
    fn spans_of_time_are_written_as_java_writes_them() {
        let spans = [(0, "PT0S"), (500, "PT0.5S"), (90_500, "PT1M30.5S"), (3_600_000, "PT1H"), (86_400_000, "PT24H")];
        for (ms, expected) in spans {
            assert_eq!(Iso(ms).to_string(), expected);
        }
        assert_eq!(Iso(3_600_001).to_string(), "PT1H0.001S");
    }
}
