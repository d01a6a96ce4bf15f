//! The options that choose a strategy: Flink's, by name and default.

use super::decimal::{Decimal, DecimalError};
use super::strategy::{ExponentialDelay, RestartStrategy};
use crate::named_options::{NamedOption, OptionError, Setting, option};

const TYPE: &str = "restart-strategy.type";
const FIXED_ATTEMPTS: &str = "restart-strategy.fixed-delay.attempts";
const FIXED_DELAY: &str = "restart-strategy.fixed-delay.delay";
const RATE_FAILURES: &str = "restart-strategy.failure-rate.max-failures-per-interval";
const RATE_INTERVAL: &str = "restart-strategy.failure-rate.failure-rate-interval";
const RATE_DELAY: &str = "restart-strategy.failure-rate.delay";
const BACKOFF_INITIAL: &str = "restart-strategy.exponential-delay.initial-backoff";
const BACKOFF_MAX: &str = "restart-strategy.exponential-delay.max-backoff";
const BACKOFF_MULTIPLIER: &str = "restart-strategy.exponential-delay.backoff-multiplier";
const BACKOFF_RESET: &str = "restart-strategy.exponential-delay.reset-backoff-threshold";
const BACKOFF_JITTER: &str = "restart-strategy.exponential-delay.jitter-factor";
const BACKOFF_ATTEMPTS: &str = "restart-strategy.exponential-delay.attempts-before-reset-backoff";

/// The most failures of an interval that a failure rate may allow: that many are remembered.
const RATE_FAILURES_MAX: u32 = 10_000;

/// The largest number of attempts: Java's, which stands for any number.
const ATTEMPTS_MAX: u32 = i32::MAX as u32;

/// All options.
pub const RESTART_OPTIONS: [NamedOption; 12] = [
    option(
        TYPE,
        "",
        "how a failed job restarts: none, fixed-delay, failure-rate or exponential-delay; without it as if it were \
         exponential-delay if checkpoints are taken periodically, and else none",
    ),
    option(FIXED_ATTEMPTS, "1", "fixed-delay: how often a job restarts"),
    option(FIXED_DELAY, "1 s", "fixed-delay: the wait before a restart"),
    option(RATE_FAILURES, "1", "failure-rate: how often a job may fail within the interval"),
    option(RATE_INTERVAL, "1 min", "failure-rate: the interval"),
    option(RATE_DELAY, "1 s", "failure-rate: the wait before a restart"),
    option(BACKOFF_INITIAL, "1 s", "exponential-delay: the first wait before a restart"),
    option(BACKOFF_MAX, "1 min", "exponential-delay: the longest wait"),
    option(BACKOFF_MULTIPLIER, "1.5", "exponential-delay: what a wait is of the one before"),
    option(BACKOFF_RESET, "1 h", "exponential-delay: after how long without a failure waits start from the first one"),
    option(BACKOFF_JITTER, "0.1", "exponential-delay: by what part of itself a wait varies"),
    option(BACKOFF_ATTEMPTS, "2147483647", "exponential-delay: how often a job restarts before waits start again"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    FixedDelay,
    FailureRate,
    ExponentialDelay,
}

/// The values of all options, each checked by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartOptions {
    kind: Option<Kind>,
    fixed_attempts: u32,
    fixed_delay_ms: u64,
    rate_failures: u32,
    rate_interval_ms: u64,
    rate_delay_ms: u64,
    exponential: ExponentialDelay,
}

impl Default for RestartOptions {
    fn default() -> Self {
        Self {
            kind: None,
            fixed_attempts: 1,
            fixed_delay_ms: 1_000,
            rate_failures: 1,
            rate_interval_ms: 60_000,
            rate_delay_ms: 1_000,
            exponential: ExponentialDelay {
                backoff_ms_initial: 1_000,
                backoff_ms_max: 60_000,
                multiplier: Decimal::from_millionths(1_500_000),
                reset_threshold_ms: 3_600_000,
                jitter_factor: Decimal::from_millionths(100_000),
                attempts_max: ATTEMPTS_MAX,
            },
        }
    }
}

impl RestartOptions {
    /// Whether an option has this name.
    pub fn is_option(key: &str) -> bool {
        RESTART_OPTIONS.iter().any(|option| option.key == key)
    }

    /// Sets an option.
    ///
    /// # Errors
    /// There is no such option, or its value is wrong; nothing is then changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), OptionError> {
        let setting = Setting::find(&RESTART_OPTIONS, "restart strategies", key, value)?;
        let decimal =
            || setting.value.parse::<Decimal>().map_err(|error: DecimalError| setting.wrong(error.to_string()));
        match setting.option.key {
            FIXED_ATTEMPTS => self.fixed_attempts = setting.count(0, ATTEMPTS_MAX)?,
            FIXED_DELAY => self.fixed_delay_ms = setting.duration_ms(0)?,
            RATE_FAILURES => self.rate_failures = setting.count(1, RATE_FAILURES_MAX)?,
            RATE_INTERVAL => self.rate_interval_ms = setting.duration_ms(1)?,
            RATE_DELAY => self.rate_delay_ms = setting.duration_ms(0)?,
            BACKOFF_INITIAL => self.exponential.backoff_ms_initial = setting.duration_ms(1)?,
            BACKOFF_MAX => self.exponential.backoff_ms_max = setting.duration_ms(1)?,
            BACKOFF_MULTIPLIER => {
                let multiplier = Some(decimal()?).filter(|multiplier| *multiplier > Decimal::ONE);
                self.exponential.multiplier = multiplier.ok_or_else(|| setting.wrong("it has to be more than 1"))?;
            }
            BACKOFF_RESET => self.exponential.reset_threshold_ms = setting.duration_ms(1)?,
            BACKOFF_JITTER => {
                let jitter = Some(decimal()?).filter(|jitter| *jitter <= Decimal::ONE);
                self.exponential.jitter_factor = jitter.ok_or_else(|| setting.wrong("it may be at most 1"))?;
            }
            BACKOFF_ATTEMPTS => self.exponential.attempts_max = setting.count(1, ATTEMPTS_MAX)?,
            _ if setting.value.is_empty() => self.kind = None,
            _ => self.kind = Some(setting.named(kind)?),
        }
        Ok(())
    }

    /// The strategy that the options choose for a job whose checkpoints are taken periodically, or not.
    ///
    /// # Errors
    /// Two options contradict each other.
    pub fn strategy(&self, checkpointed: bool) -> Result<RestartStrategy, OptionError> {
        let default = if checkpointed { Kind::ExponentialDelay } else { Kind::None };
        Ok(match self.kind.unwrap_or(default) {
            Kind::None => RestartStrategy::None,
            Kind::FixedDelay => {
                RestartStrategy::FixedDelay { attempts: self.fixed_attempts, delay_ms: self.fixed_delay_ms }
            }
            Kind::FailureRate => RestartStrategy::FailureRate {
                failures_max: self.rate_failures,
                interval_ms: self.rate_interval_ms,
                delay_ms: self.rate_delay_ms,
            },
            Kind::ExponentialDelay if self.exponential.backoff_ms_initial > self.exponential.backoff_ms_max => {
                return Err(OptionError::Contradiction(format!(
                    "{BACKOFF_INITIAL} is longer than {BACKOFF_MAX}: make the one shorter or the other longer"
                )));
            }
            Kind::ExponentialDelay => RestartStrategy::ExponentialDelay(self.exponential),
        })
    }
}

/// Flink's names of the strategies, with the spellings that it also takes.
fn kind(value: &str) -> Option<Kind> {
    match value.to_ascii_lowercase().as_str() {
        "none" | "off" | "disable" => Some(Kind::None),
        "fixed-delay" | "fixeddelay" => Some(Kind::FixedDelay),
        "failure-rate" | "failurerate" => Some(Kind::FailureRate),
        "exponential-delay" | "exponentialdelay" => Some(Kind::ExponentialDelay),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn with(values: &[(&str, &str)]) -> Result<RestartStrategy, OptionError> {
        let mut options = RestartOptions::default();
        values.iter().try_for_each(|(key, value)| options.set(key, value))?;
        options.strategy(false)
    }

    #[test]
    fn the_listed_defaults_are_the_defaults() {
        let mut options = RestartOptions::default();
        for option in RESTART_OPTIONS {
            options.set(option.key, option.default).unwrap();
        }
        assert_eq!(options, RestartOptions::default());
        assert_eq!(options.strategy(false), Ok(RestartStrategy::None));
        assert!(matches!(options.strategy(true), Ok(RestartStrategy::ExponentialDelay(_))));
        options.set(TYPE, "none").unwrap();
        assert_eq!(options.strategy(true), Ok(RestartStrategy::None));
    }

    #[test]
    fn each_strategy_has_its_options() {
        assert_eq!(
            with(&[(TYPE, "fixed-delay"), (FIXED_ATTEMPTS, "5"), (FIXED_DELAY, "20 s")]),
            Ok(RestartStrategy::FixedDelay { attempts: 5, delay_ms: 20_000 })
        );
        assert_eq!(
            with(&[(TYPE, "failurerate"), (RATE_FAILURES, "3"), (RATE_INTERVAL, "5 min"), (RATE_DELAY, "0")]),
            Ok(RestartStrategy::FailureRate { failures_max: 3, interval_ms: 300_000, delay_ms: 0 })
        );
        let exponential = with(&[(TYPE, "exponential-delay"), (BACKOFF_MULTIPLIER, "2"), (BACKOFF_JITTER, "0")]);
        let Ok(RestartStrategy::ExponentialDelay(delay)) = exponential else { panic!("{exponential:?}") };
        assert_eq!((delay.multiplier.times(10), delay.jitter_factor.times(10)), (20, 0));
        for off in ["none", "off", "disable"] {
            assert_eq!(with(&[(TYPE, "fixed-delay"), (TYPE, off)]), Ok(RestartStrategy::None));
        }
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (key, value) in [
            (TYPE, "sometimes"),
            (FIXED_ATTEMPTS, "-1"),
            (FIXED_DELAY, "soon"),
            (RATE_FAILURES, "0"),
            (RATE_FAILURES, "10001"),
            (RATE_INTERVAL, "0 s"),
            (BACKOFF_MULTIPLIER, "1"),
            (BACKOFF_JITTER, "1.1"),
            (BACKOFF_ATTEMPTS, "0"),
            ("restart-strategy.fixed-delay.atempts", "1"),
        ] {
            let error = with(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
        let contradiction = with(&[(TYPE, "exponential-delay"), (BACKOFF_INITIAL, "2 min")]);
        assert!(matches!(contradiction, Err(OptionError::Contradiction(why)) if why.contains(BACKOFF_MAX)));
    }
}
