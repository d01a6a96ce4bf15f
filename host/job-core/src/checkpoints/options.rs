//! When checkpoints are taken and kept: Flink's options, by name and default.

use millrace_types::{Alignment, SnapshotKind};
use serde::{Deserialize, Serialize};

use crate::named_options::{NamedOption, OptionError, Setting, option};

const INTERVAL: &str = "execution.checkpointing.interval";
const TIMEOUT: &str = "execution.checkpointing.timeout";
const MIN_PAUSE: &str = "execution.checkpointing.min-pause";
const CONCURRENT: &str = "execution.checkpointing.max-concurrent-checkpoints";
const TOLERABLE: &str = "execution.checkpointing.tolerable-failed-checkpoints";
const MODE: &str = "execution.checkpointing.mode";
const UNALIGNED: &str = "execution.checkpointing.unaligned.enabled";
const ALIGNED_TIMEOUT: &str = "execution.checkpointing.aligned-checkpoint-timeout";
const RETAINED: &str = "execution.checkpointing.num-retained";
const EXTERNALIZED: &str = "execution.checkpointing.externalized-checkpoint-retention";
const AFTER_FINISH: &str = "execution.checkpointing.checkpoints-after-tasks-finish";

/// The shortest interval, in milliseconds: Flink's.
const INTERVAL_MS_MIN: u64 = 10;

/// The shortest timeout, in milliseconds: Flink's.
const TIMEOUT_MS_MIN: u64 = 10;

/// The most checkpoints that may be under way at a time.
const CONCURRENT_MAX: u32 = 16;

/// The most complete checkpoints that may be retained.
const RETAINED_MAX: u32 = 64;

/// All options.
pub const CHECKPOINT_OPTIONS: [NamedOption; 11] = [
    option(INTERVAL, "", "how often a checkpoint is taken; without it or with 0: never"),
    option(TIMEOUT, "10 min", "how long a checkpoint or savepoint may take"),
    option(MIN_PAUSE, "0 ms", "the least time from the end of a checkpoint to the beginning of the next one"),
    option(CONCURRENT, "1", "how many checkpoints may be under way at a time"),
    option(TOLERABLE, "0", "how many checkpoints in a row may fail before the job fails over"),
    option(MODE, "EXACTLY_ONCE", "EXACTLY_ONCE or AT_LEAST_ONCE"),
    option(UNALIGNED, "false", "whether barriers may overtake records"),
    option(ALIGNED_TIMEOUT, "0 ms", "how long barriers wait before they overtake records, if they may"),
    option(RETAINED, "1", "how many complete checkpoints are retained"),
    option(
        EXTERNALIZED,
        "NO_EXTERNALIZED_CHECKPOINTS",
        "what becomes of checkpoints when the job ends: DELETE_ON_CANCELLATION (kept if it fails), \
         RETAIN_ON_CANCELLATION (kept if it fails or is cancelled) or NO_EXTERNALIZED_CHECKPOINTS",
    ),
    option(AFTER_FINISH, "true", "whether checkpoints are taken after some tasks have finished"),
];

/// What a failure may do to records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CheckpointMode {
    /// State sees each record once.
    #[default]
    ExactlyOnce,
    /// State may see a record again.
    AtLeastOnce,
}

/// What becomes of the retained checkpoints when the job ends. A job that finishes needs none: they are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Retention {
    /// They are deleted.
    #[default]
    NoExternalized,
    /// They are kept if the job fails.
    DeleteOnCancellation,
    /// They are kept if the job fails or is cancelled.
    RetainOnCancellation,
}

/// When checkpoints are taken, and which are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointOptions {
    /// How often one is taken, in milliseconds; `None`: only when asked for.
    pub interval_ms: Option<u64>,
    /// How long one may take, in milliseconds.
    pub timeout_ms: u64,
    /// The least time from the end of one to the beginning of the next, in milliseconds.
    pub min_pause_ms: u64,
    /// How many may be under way at a time.
    pub max_concurrent: u32,
    /// How many in a row may fail before the job fails over.
    pub tolerable_failures: u32,
    /// What a failure may do to records.
    pub mode: CheckpointMode,
    /// Whether barriers may overtake records.
    pub unaligned: bool,
    /// How long they wait before they do, in milliseconds.
    pub aligned_timeout_ms: u64,
    /// How many complete ones are retained.
    pub retained_max: u32,
    /// What becomes of them at the job's end.
    pub retention: Retention,
    /// Whether they are taken after some tasks have finished.
    pub after_tasks_finish: bool,
    /// How many of them stay visible: Flink's `web.checkpoints.history`.
    pub history_max: usize,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self {
            interval_ms: None,
            timeout_ms: 600_000,
            min_pause_ms: 0,
            max_concurrent: 1,
            tolerable_failures: 0,
            mode: CheckpointMode::ExactlyOnce,
            unaligned: false,
            aligned_timeout_ms: 0,
            retained_max: 1,
            retention: Retention::NoExternalized,
            after_tasks_finish: true,
            history_max: 10,
        }
    }
}

impl CheckpointOptions {
    /// Whether an option has this name.
    pub fn is_option(key: &str) -> bool {
        CHECKPOINT_OPTIONS.iter().any(|option| option.key == key)
    }

    /// Sets an option.
    ///
    /// # Errors
    /// There is no such option, or its value is wrong; nothing is then changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), OptionError> {
        let setting = Setting::find(&CHECKPOINT_OPTIONS, "checkpoints", key, value)?;
        match setting.option.key {
            INTERVAL if setting.value.is_empty() || setting.duration_ms(0) == Ok(0) => self.interval_ms = None,
            INTERVAL => self.interval_ms = Some(setting.duration_ms(INTERVAL_MS_MIN)?),
            TIMEOUT => self.timeout_ms = setting.duration_ms(TIMEOUT_MS_MIN)?,
            MIN_PAUSE => self.min_pause_ms = setting.duration_ms(0)?,
            CONCURRENT => self.max_concurrent = setting.count(1, CONCURRENT_MAX)?,
            TOLERABLE => self.tolerable_failures = setting.count(0, i32::MAX as u32)?,
            UNALIGNED => self.unaligned = setting.truth()?,
            ALIGNED_TIMEOUT => self.aligned_timeout_ms = setting.duration_ms(0)?,
            RETAINED => self.retained_max = setting.count(1, RETAINED_MAX)?,
            EXTERNALIZED => self.retention = setting.named(retention)?,
            AFTER_FINISH => self.after_tasks_finish = setting.truth()?,
            _ => self.mode = setting.named(mode)?,
        }
        Ok(())
    }

    /// Checks the options against each other.
    ///
    /// # Errors
    /// Two of them contradict each other.
    pub fn check(&self) -> Result<(), OptionError> {
        let ordered = self.mode == CheckpointMode::ExactlyOnce && self.max_concurrent == 1;
        if !self.unaligned || ordered {
            return Ok(());
        }
        let why = format!("{UNALIGNED} needs {MODE} EXACTLY_ONCE and {CONCURRENT} 1: change one of them");
        Err(OptionError::Contradiction(why))
    }

    /// How channels wait for each other.
    pub(crate) fn alignment(&self, kind: SnapshotKind) -> Alignment {
        match (kind, self.mode) {
            (SnapshotKind::Savepoint { .. } | SnapshotKind::Upgrade, _) => Alignment::Aligned,
            (_, CheckpointMode::AtLeastOnce) => Alignment::None,
            _ if self.unaligned => Alignment::Unaligned { timeout_ms: self.aligned_timeout_ms },
            _ => Alignment::Aligned,
        }
    }
}

/// Flink's names, however they are written.
fn normalized(value: &str) -> String {
    value.to_ascii_uppercase().replace('-', "_")
}

fn mode(value: &str) -> Option<CheckpointMode> {
    match normalized(value).as_str() {
        "EXACTLY_ONCE" => Some(CheckpointMode::ExactlyOnce),
        "AT_LEAST_ONCE" => Some(CheckpointMode::AtLeastOnce),
        _ => None,
    }
}

fn retention(value: &str) -> Option<Retention> {
    match normalized(value).as_str() {
        "NO_EXTERNALIZED_CHECKPOINTS" => Some(Retention::NoExternalized),
        "DELETE_ON_CANCELLATION" => Some(Retention::DeleteOnCancellation),
        "RETAIN_ON_CANCELLATION" => Some(Retention::RetainOnCancellation),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_listed_defaults_are_the_defaults() {
        let mut options = CheckpointOptions::default();
        for option in CHECKPOINT_OPTIONS {
            options.set(option.key, option.default).unwrap();
        }
        assert_eq!(options, CheckpointOptions::default());
        assert_eq!(options.check(), Ok(()));
    }

    #[test]
    fn each_option_is_read() {
        let mut options = CheckpointOptions::default();
        for (key, value) in [
            (INTERVAL, "1 s"),
            (TIMEOUT, "1 min"),
            (MIN_PAUSE, "5 s"),
            (CONCURRENT, "2"),
            (TOLERABLE, "3"),
            (MODE, "at-least-once"),
            (UNALIGNED, "TRUE"),
            (ALIGNED_TIMEOUT, "30 s"),
            (RETAINED, "4"),
            (EXTERNALIZED, "retain_on_cancellation"),
            (AFTER_FINISH, "false"),
        ] {
            options.set(key, value).unwrap();
        }
        let expected = CheckpointOptions {
            interval_ms: Some(1_000),
            timeout_ms: 60_000,
            min_pause_ms: 5_000,
            max_concurrent: 2,
            tolerable_failures: 3,
            mode: CheckpointMode::AtLeastOnce,
            unaligned: true,
            aligned_timeout_ms: 30_000,
            retained_max: 4,
            retention: Retention::RetainOnCancellation,
            after_tasks_finish: false,
            history_max: 10,
        };
        assert_eq!(options, expected);
        assert!(matches!(options.check(), Err(OptionError::Contradiction(why)) if why.contains(UNALIGNED)));
        options.set(INTERVAL, "0").unwrap();
        assert_eq!(options.interval_ms, None);
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (key, value) in [
            (INTERVAL, "5 ms"),
            (INTERVAL, "often"),
            (TIMEOUT, "0 s"),
            (MIN_PAUSE, "-1"),
            (CONCURRENT, "0"),
            (TOLERABLE, "many"),
            (MODE, "twice"),
            (UNALIGNED, "perhaps"),
            (RETAINED, "0"),
            (EXTERNALIZED, "sometimes"),
            ("execution.checkpointing.intervall", "1 s"),
        ] {
            let error = CheckpointOptions::default().set(key, value).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
