//! The options that choose the scheduler: Flink's, by name and default.

use crate::named_options::{NamedOption, OptionError, Setting, option};

const SCHEDULER: &str = "jobmanager.scheduler";
pub(crate) const WAIT_TIMEOUT: &str = "jobmanager.adaptive-scheduler.submission.resource-wait-timeout";
const STABILIZATION: &str = "jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout";
const EXECUTING_STABILIZATION: &str = "jobmanager.adaptive-scheduler.executing.resource-stabilization-timeout";
const COOLDOWN: &str = "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling";
const MAX_DELAY: &str = "jobmanager.adaptive-scheduler.rescale-trigger.max-delay";

/// All options.
pub const SCHEDULER_OPTIONS: [NamedOption; 6] = [
    option(
        SCHEDULER,
        "default",
        "default: a job waits for all slots that it needs; adaptive: it runs at the parallelism that the slots allow",
    ),
    option(
        WAIT_TIMEOUT,
        "5 min",
        "adaptive: how long a job waits for the least slots before it fails; a negative one: as long as it takes",
    ),
    option(STABILIZATION, "10 s", "adaptive: how long a job with fewer slots than it wants waits for more"),
    option(
        EXECUTING_STABILIZATION,
        "1 min",
        "adaptive: how long a job that runs waits for still more slots when some have come, unless these are all",
    ),
    option(COOLDOWN, "30 s", "adaptive: how long a job runs at least before it takes up more slots"),
    option(
        MAX_DELAY,
        "",
        "adaptive: how long a job with more slots waits for a checkpoint before it takes them up; without it three \
         intervals of its checkpoints, or 0 if it takes none",
    ),
];

/// How the adaptive scheduler treats a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveOptions {
    /// How long a job waits for one slot for each slot sharing group before it fails, in milliseconds; `None`: for ever.
    pub wait_timeout_ms: Option<u64>,
    /// How long a job that has these waits for all that it wants, in milliseconds.
    pub stabilization_ms: u64,
    /// How long a job that runs waits for still more slots when some have come, in milliseconds.
    pub executing_stabilization_ms: u64,
    /// How long a job runs at least before it takes up more slots, in milliseconds.
    pub cooldown_ms: u64,
    /// How long it then waits for a checkpoint, in milliseconds; `None`: as the interval of its checkpoints says.
    pub max_delay_ms: Option<u64>,
}

impl Default for AdaptiveOptions {
    fn default() -> Self {
        Self {
            wait_timeout_ms: Some(300_000),
            stabilization_ms: 10_000,
            executing_stabilization_ms: 60_000,
            cooldown_ms: 30_000,
            max_delay_ms: None,
        }
    }
}

/// The values of all options, each checked by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchedulerOptions {
    is_adaptive: bool,
    adaptive: AdaptiveOptions,
}

impl SchedulerOptions {
    /// Whether an option has this name.
    pub fn is_option(key: &str) -> bool {
        SCHEDULER_OPTIONS.iter().any(|option| option.key == key)
    }

    /// Sets an option.
    ///
    /// # Errors
    /// There is no such option, or its value is wrong; nothing is then changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), OptionError> {
        let setting = Setting::find(&SCHEDULER_OPTIONS, "the scheduler", key, value)?;
        match setting.option.key {
            WAIT_TIMEOUT => {
                self.adaptive.wait_timeout_ms = match setting.value.strip_prefix('-') {
                    // A span all the same.
                    Some(negative) => Setting { value: negative, ..setting }.duration_ms(0).map(|_| None)?,
                    None => Some(setting.duration_ms(0)?),
                }
            }
            STABILIZATION => self.adaptive.stabilization_ms = setting.duration_ms(0)?,
            EXECUTING_STABILIZATION => self.adaptive.executing_stabilization_ms = setting.duration_ms(0)?,
            COOLDOWN => self.adaptive.cooldown_ms = setting.duration_ms(0)?,
            MAX_DELAY if setting.value.is_empty() => self.adaptive.max_delay_ms = None,
            MAX_DELAY => self.adaptive.max_delay_ms = Some(setting.duration_ms(0)?),
            _ => {
                self.is_adaptive = match setting.value.to_ascii_lowercase().as_str() {
                    "default" => false,
                    "adaptive" => true,
                    _ => return Err(setting.wrong("write default or adaptive")),
                }
            }
        }
        Ok(())
    }

    /// How the adaptive scheduler treats jobs; `None`: the default one is chosen.
    pub fn adaptive(&self) -> Option<AdaptiveOptions> {
        self.is_adaptive.then_some(self.adaptive)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_listed_defaults_are_the_defaults() {
        let mut options = SchedulerOptions::default();
        for option in SCHEDULER_OPTIONS {
            options.set(option.key, option.default).unwrap();
        }
        assert_eq!(options, SchedulerOptions::default());
        assert_eq!(options.adaptive(), None);
        options.set(SCHEDULER, "Adaptive").unwrap();
        assert_eq!(options.adaptive(), Some(AdaptiveOptions::default()));
    }

    #[test]
    fn each_option_is_read() {
        let mut options = SchedulerOptions::default();
        for (key, value) in [
            (SCHEDULER, "adaptive"),
            (WAIT_TIMEOUT, "1 s"),
            (STABILIZATION, "2 s"),
            (EXECUTING_STABILIZATION, "3 s"),
            (COOLDOWN, "4 s"),
            (MAX_DELAY, "5 s"),
        ] {
            options.set(key, value).unwrap();
        }
        let expected = AdaptiveOptions {
            wait_timeout_ms: Some(1_000),
            stabilization_ms: 2_000,
            executing_stabilization_ms: 3_000,
            cooldown_ms: 4_000,
            max_delay_ms: Some(5_000),
        };
        assert_eq!(options.adaptive(), Some(expected));
        options.set(WAIT_TIMEOUT, "-1 ms").unwrap();
        assert_eq!(options.adaptive().unwrap().wait_timeout_ms, None);
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (key, value) in [
            (SCHEDULER, "reactive"),
            (WAIT_TIMEOUT, "-"),
            (STABILIZATION, "-1"),
            (COOLDOWN, "soon"),
            (MAX_DELAY, "x"),
            ("jobmanager.adaptive-scheduler.min-parallelism-increase", "1"),
        ] {
            let error = SchedulerOptions::default().set(key, value).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
