//! The options of workers: Flink's, by name and, where nothing else is said, by default.

use millrace_types::{QuantityError, parse_duration_ms};

const SLOTS_MIN: &str = "slotmanager.number-of-slots.min";
const SLOTS_MAX: &str = "slotmanager.number-of-slots.max";
const REDUNDANT: &str = "slotmanager.redundant-taskmanager-num";
const IDLE_TIMEOUT: &str = "resourcemanager.taskmanager-timeout";
const REGISTRATION_TIMEOUT: &str = "resourcemanager.taskmanager-registration.timeout";
const FAILURE_RATE: &str = "resourcemanager.start-worker.max-failure-rate";
const RETRY_INTERVAL: &str = "resourcemanager.start-worker.retry-interval";

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerOption {
    /// Its name.
    pub key: &'static str,
    /// Its default.
    pub default: &'static str,
    /// Its meaning.
    pub description: &'static str,
}

const fn option(key: &'static str, default: &'static str, description: &'static str) -> WorkerOption {
    WorkerOption { key, default, description }
}

/// All options.
pub const WORKER_OPTIONS: [WorkerOption; 7] = [
    option(SLOTS_MIN, "0", "native: so many slots are kept, whether or not jobs need them"),
    // Flink has no limit; here it is one machine that has to carry them.
    option(SLOTS_MAX, "128", "native: no TaskManager is started beyond so many slots in all"),
    option(REDUNDANT, "0", "native: so many TaskManagers stand by while jobs run"),
    option(IDLE_TIMEOUT, "30 s", "native: how long a TaskManager is kept that no job uses"),
    option(REGISTRATION_TIMEOUT, "5 min", "native: how long a TaskManager that was started may take to register"),
    option(FAILURE_RATE, "10.0", "native: after so many failed starts in a minute the retry interval is waited for"),
    option(RETRY_INTERVAL, "3 s", "native: the longest pause after a start that failed"),
];

/// Why a value is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerOptionError {
    /// No option has this name.
    #[error("\"{0}\" is no option of native mode")]
    Unknown(String),
    /// A value is wrong.
    #[error("the option {key} is \"{value}\": {what}")]
    Invalid {
        /// The option.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        what: String,
    },
}

/// How many workers there may be, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerOptions {
    /// Slots of one worker.
    pub slots_per_worker: u32,
    /// Slots that are kept.
    pub slots_min: u32,
    /// Slots beyond which nothing is started.
    pub slots_max: u32,
    /// Workers that stand by while jobs run.
    pub redundant_workers: u32,
    /// How long a worker is kept that no job uses, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long a worker may take until its TaskManager registers, in milliseconds.
    pub registration_timeout_ms: u64,
    /// Failed starts within a minute, after which each pause is the longest one.
    pub failures_per_minute_max: u32,
    /// The longest pause after a failed start, in milliseconds.
    pub retry_interval_ms: u64,
}

impl WorkerOptions {
    /// Each option's default.
    pub const DEFAULT: Self = Self {
        slots_per_worker: 1,
        slots_min: 0,
        slots_max: 128,
        redundant_workers: 0,
        idle_timeout_ms: 30_000,
        registration_timeout_ms: 300_000,
        failures_per_minute_max: 10,
        retry_interval_ms: 3_000,
    };

    /// Sets an option.
    ///
    /// # Errors
    /// There is no such option, or its value is wrong; nothing is then changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), WorkerOptionError> {
        let known = WORKER_OPTIONS.iter().find(|option| option.key == key);
        let key = known.ok_or_else(|| WorkerOptionError::Unknown(key.to_owned()))?.key;
        let wrong = |what: &str| WorkerOptionError::Invalid {
            key,
            value: value.chars().take(80).collect(),
            what: what.to_owned(),
        };
        let count = || value.trim().parse::<u32>().map_err(|_| wrong("write a whole number"));
        let span = || parse_duration_ms(value).map_err(|error: QuantityError| wrong(&error.to_string()));
        match key {
            SLOTS_MIN => self.slots_min = count()?,
            SLOTS_MAX => self.slots_max = count()?,
            REDUNDANT => self.redundant_workers = count()?,
            IDLE_TIMEOUT => self.idle_timeout_ms = span()?,
            REGISTRATION_TIMEOUT => self.registration_timeout_ms = span()?,
            RETRY_INTERVAL => self.retry_interval_ms = span()?,
            _ => {
                let rate = value.trim().parse::<f64>().ok().filter(|rate| *rate > 0.0 && *rate <= 1_000.0);
                let rate = rate.ok_or_else(|| wrong("write a number above 0 and not above 1000"))?;
                self.failures_per_minute_max = rate.ceil() as u32;
            }
        }
        Ok(())
    }

    /// Checks that the options agree with each other.
    ///
    /// # Errors
    /// More slots are to be kept than there may be, or one worker has more.
    pub fn check(&self) -> Result<(), WorkerOptionError> {
        let (max, value) = (self.slots_max, self.slots_max.to_string());
        if self.slots_min > max {
            let what = format!("it is less than {SLOTS_MIN}, which is {}", self.slots_min);
            return Err(WorkerOptionError::Invalid { key: SLOTS_MAX, value, what });
        }
        if self.slots_per_worker > max {
            let what = format!("one TaskManager has {} slots, so none could be started", self.slots_per_worker);
            return Err(WorkerOptionError::Invalid { key: SLOTS_MAX, value, what });
        }
        Ok(())
    }
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_listed_defaults_are_the_defaults() {
        let mut options = WorkerOptions::default();
        for option in WORKER_OPTIONS {
            options.set(option.key, option.default).unwrap();
        }
        assert_eq!(options, WorkerOptions::default());
    }

    #[test]
    fn each_option_is_read() {
        let mut options = WorkerOptions::default();
        for (key, value) in [
            (SLOTS_MIN, "1"),
            (SLOTS_MAX, "2"),
            (REDUNDANT, "3"),
            (IDLE_TIMEOUT, "4 s"),
            (REGISTRATION_TIMEOUT, "5 s"),
            (FAILURE_RATE, "5.5"),
            (RETRY_INTERVAL, "7 s"),
        ] {
            options.set(key, value).unwrap();
        }
        let expected = WorkerOptions {
            slots_per_worker: 1,
            slots_min: 1,
            slots_max: 2,
            redundant_workers: 3,
            idle_timeout_ms: 4_000,
            registration_timeout_ms: 5_000,
            failures_per_minute_max: 6,
            retry_interval_ms: 7_000,
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (key, value) in [
            (SLOTS_MAX, "-1"),
            (REDUNDANT, "x"),
            (IDLE_TIMEOUT, "soon"),
            (FAILURE_RATE, "0"),
            (FAILURE_RATE, "NaN"),
            ("slotmanager.max-total-resource.cpu", "1"),
        ] {
            let error = WorkerOptions::default().set(key, value).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
        let too_many = WorkerOptions { slots_min: 200, ..WorkerOptions::default() };
        assert!(too_many.check().unwrap_err().to_string().contains(SLOTS_MIN));
        let too_large = WorkerOptions { slots_per_worker: 200, ..WorkerOptions::default() };
        assert!(too_large.check().unwrap_err().to_string().contains("200 slots"));
    }
}
