//! The options of one run: what `flinkConfiguration` of a request and `-D` of `millrace run` may hold.

use std::collections::BTreeMap;
use std::str::FromStr;

use millrace_job_core::{
    CHECKPOINT_OPTIONS, CheckpointOptions, JobOptions, RESTART_OPTIONS, RestartOptions, SCHEDULER_OPTIONS,
    SchedulerOptions,
};
use millrace_protocol::{CheckpointSettings, TaskSettings};
use millrace_storage::StorageLocation;
use millrace_types::{StateBackendKind, parse_bytes, parse_duration_ms};

use crate::DispatcherError;
use crate::options::JobManagerOptions;

const NAME: &str = "pipeline.name";
const PARALLELISM: &str = "parallelism.default";
const BUFFER_TIMEOUT: &str = "execution.buffer-timeout.interval";
const DISCARD_SEED: &str = "sandbox.discard-instances.seed";

pub(crate) const CHECKPOINT_DIR: &str = "execution.checkpointing.dir";
pub(crate) const SAVEPOINT_DIR: &str = "execution.checkpointing.savepoint-dir";
const INLINE_MAX: &str = "execution.checkpointing.data-inline-threshold";
const STATE_BACKEND: &str = "state.backend.type";
const LOCAL_BACKUP: &str = "execution.checkpointing.local-backup.enabled";
const FROM_LOCAL: &str = "execution.state-recovery.from-local";
const RECOVERY_PATH: &str = "execution.state-recovery.path";
const RECOVERY_CLAIM: &str = "execution.state-recovery.claim-mode";
const RECOVERY_SKIP: &str = "execution.state-recovery.ignore-unclaimed-state";

/// The largest state that may stand in a checkpoint's metadata, in bytes: Flink's.
const INLINE_BYTES_MAX: u64 = 1024 * 1024;

/// The options of a run besides [`RESTART_OPTIONS`], [`SCHEDULER_OPTIONS`] and [`CHECKPOINT_OPTIONS`], each with its
/// meaning.
pub const RUN_OPTIONS: &[(&str, &str)] = &[
    (NAME, "the job's name"),
    (PARALLELISM, "the parallelism of operators that state none"),
    (BUFFER_TIMEOUT, "how long a partly filled batch waits for more rows"),
    (CHECKPOINT_DIR, "where the job's checkpoints are written, within file.roots"),
    (SAVEPOINT_DIR, "where the job's savepoints are written, within file.roots"),
    (INLINE_MAX, "state of at most so many bytes stands in a checkpoint's metadata instead of a file"),
    (STATE_BACKEND, "what keyed state is kept in: hashmap or redb"),
    (LOCAL_BACKUP, "whether state is copied to the disks of the TaskManagers that have it"),
    (FROM_LOCAL, "whether tasks that come back are restored from such copies"),
    (RECOVERY_PATH, "the savepoint or retained checkpoint that the job begins with"),
    (RECOVERY_CLAIM, "who owns it afterwards: NO_CLAIM (nobody deletes it) or CLAIM (the job does)"),
    (RECOVERY_SKIP, "whether state of operators that the application does not have is left out"),
    (DISCARD_SEED, "for tests: throw away instances after random calls, chosen by this number"),
];

/// The options of a run, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunSettings {
    name: Option<String>,
    parallelism: Option<u32>,
    buffer_timeout_ms: Option<u64>,
    discard_instances_seed: Option<u64>,
    /// Options of the restart strategy, each checked by itself.
    restart: BTreeMap<String, String>,
    /// Options of the scheduler, each checked by itself.
    scheduler: BTreeMap<String, String>,
    /// Options of checkpoints, each checked by itself.
    checkpoints: BTreeMap<String, String>,
    checkpoint_dir: Option<String>,
    savepoint_dir: Option<String>,
    inline_bytes_max: Option<u32>,
    state_backend: Option<StateBackendKind>,
    local_backup: Option<bool>,
    from_local: Option<bool>,
    recovery: StateRecovery,
}

/// Who owns a savepoint that a job began with: Flink's claim mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClaimMode {
    /// Whoever owned it before: the job never deletes it.
    #[default]
    NoClaim,
    /// The job: it deletes it when it has a checkpoint of its own.
    Claim,
}

impl FromStr for ClaimMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_uppercase().replace('-', "_").as_str() {
            "NO_CLAIM" => Ok(Self::NoClaim),
            "CLAIM" => Ok(Self::Claim),
            "LEGACY" => Err("LEGACY leaves open who deletes the savepoint: write CLAIM or NO_CLAIM"),
            _ => Err("write CLAIM or NO_CLAIM"),
        }
    }
}

/// What state a run begins with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StateRecovery {
    pub(crate) path: Option<String>,
    pub(crate) claim: ClaimMode,
    pub(crate) allow_non_restored_state: bool,
}

/// Whether an option's value is a path, which may be long.
pub(crate) fn is_path_option(key: &str) -> bool {
    [CHECKPOINT_DIR, SAVEPOINT_DIR, RECOVERY_PATH].contains(&key)
}

/// The options that say what a run begins with, as [`RunSettings::parse`] takes them.
pub fn recovery_options(path: String, claim: Option<String>, skip: Option<bool>) -> BTreeMap<String, String> {
    let claim = claim.map(|claim| (RECOVERY_CLAIM.to_owned(), claim));
    let skip = skip.map(|skip| (RECOVERY_SKIP.to_owned(), skip.to_string()));
    [(RECOVERY_PATH.to_owned(), path)].into_iter().chain(claim).chain(skip).collect()
}

impl RunSettings {
    /// Checks the options; an unknown one is an error that names it.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, DispatcherError> {
        let mut settings = Self::default();
        for (key, value) in options {
            let wrong = |what: &str| DispatcherError::Invalid(format!("the option {key} is \"{value}\": {what}"));
            match key.as_str() {
                NAME => settings.name = Some(value.clone()),
                PARALLELISM => {
                    let parallelism = value.parse().map_err(|_| wrong("write a whole number of at least 1"))?;
                    settings.parallelism = Some(parallelism);
                }
                BUFFER_TIMEOUT => {
                    let timeout = parse_duration_ms(value).map_err(|error| wrong(&error.to_string()))?;
                    settings.buffer_timeout_ms = Some(timeout);
                }
                DISCARD_SEED => {
                    let seed = value.parse().map_err(|_| wrong("write a whole number"))?;
                    settings.discard_instances_seed = Some(seed);
                }
                key if RestartOptions::is_option(key) => {
                    let checked = RestartOptions::default().set(key, value);
                    checked.map_err(|error| DispatcherError::Invalid(error.to_string()))?;
                    settings.restart.insert(key.to_owned(), value.clone());
                }
                key if SchedulerOptions::is_option(key) => {
                    let checked = SchedulerOptions::default().set(key, value);
                    checked.map_err(|error| DispatcherError::Invalid(error.to_string()))?;
                    settings.scheduler.insert(key.to_owned(), value.clone());
                }
                key if CheckpointOptions::is_option(key) => {
                    let checked = CheckpointOptions::default().set(key, value);
                    checked.map_err(|error| DispatcherError::Invalid(error.to_string()))?;
                    settings.checkpoints.insert(key.to_owned(), value.clone());
                }
                key if RUN_OPTIONS.iter().any(|(known, _)| *known == key) => {
                    settings.set_state(key, value).map_err(|what| wrong(&what))?;
                }
                _ => {
                    let restart = RESTART_OPTIONS.iter().map(|option| option.key);
                    let checkpoints = CHECKPOINT_OPTIONS.iter().map(|option| option.key);
                    let scheduler = SCHEDULER_OPTIONS.iter().map(|option| option.key);
                    let known = RUN_OPTIONS.iter().map(|(key, _)| *key).chain(restart).chain(scheduler);
                    let known: Vec<&str> = known.chain(checkpoints).collect();
                    return Err(DispatcherError::Invalid(format!(
                        "\"{key}\" is no option of a run; there are {}",
                        known.join(", ")
                    )));
                }
            }
        }
        Ok(settings)
    }

    /// Sets an option about state and where it is kept; an error says what would be right.
    fn set_state(&mut self, key: &str, value: &str) -> Result<(), String> {
        let text = || Some(value.to_owned()).filter(|text| !text.is_empty());
        match key {
            CHECKPOINT_DIR => self.checkpoint_dir = text(),
            SAVEPOINT_DIR => self.savepoint_dir = text(),
            INLINE_MAX => self.inline_bytes_max = Some(inline_bytes(value)?),
            STATE_BACKEND => self.state_backend = Some(state_backend(value)?),
            LOCAL_BACKUP => self.local_backup = Some(flag(value)?),
            FROM_LOCAL => self.from_local = Some(flag(value)?),
            RECOVERY_PATH => self.recovery.path = text(),
            RECOVERY_CLAIM => self.recovery.claim = value.parse()?,
            _ => self.recovery.allow_non_restored_state = flag(value)?,
        }
        Ok(())
    }

    /// What state the run begins with.
    pub(crate) fn recovery(&self) -> &StateRecovery {
        &self.recovery
    }

    /// What the run's keyed state is kept in, if the run states it.
    pub(crate) fn state_backend(&self) -> Option<StateBackendKind> {
        self.state_backend
    }

    /// The run's folder of checkpoints, if it names one.
    pub(crate) fn checkpoint_dir(&self) -> Option<&str> {
        self.checkpoint_dir.as_deref()
    }

    /// The run's folder of savepoints, if it names one.
    pub(crate) fn savepoint_dir(&self) -> Option<&str> {
        self.savepoint_dir.as_deref()
    }

    /// When the run's checkpoints are taken and kept: the run's own options over the cluster's.
    pub(crate) fn checkpoint_options(&self, options: &JobManagerOptions) -> Result<CheckpointOptions, DispatcherError> {
        let mut checkpoints = options.checkpoints.clone();
        let set = self.checkpoints.iter().try_for_each(|(key, value)| checkpoints.set(key, value));
        set.and_then(|()| checkpoints.check()).map_err(|error| DispatcherError::Invalid(error.to_string()))?;
        Ok(checkpoints)
    }

    /// The name that the run gives its job.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The parallelism of operators that state none, if the run states it.
    pub fn parallelism(&self) -> Option<u32> {
        self.parallelism
    }

    /// How the run's job is treated: the run's own options over the cluster's.
    pub(crate) fn job_options(&self, options: &JobManagerOptions) -> Result<JobOptions, DispatcherError> {
        let checkpointed = self.checkpoint_options(options)?.interval_ms.is_some();
        let mut restart = options.restart.clone();
        let set = self.restart.iter().try_for_each(|(key, value)| restart.set(key, value));
        let strategy = set.and_then(|()| restart.strategy(checkpointed));
        let restart_strategy = strategy.map_err(|error| DispatcherError::Invalid(error.to_string()))?;
        let mut scheduler = options.scheduler.clone();
        let set = self.scheduler.iter().try_for_each(|(key, value)| scheduler.set(key, value));
        set.map_err(|error| DispatcherError::Invalid(error.to_string()))?;
        let adaptive = scheduler.adaptive();
        Ok(JobOptions { restart_strategy, adaptive, restart_seed: rand::random(), ..JobOptions::default() })
    }

    /// How the run's tasks run, whose checkpoints are written into a folder.
    pub(crate) fn task_settings(
        &self,
        options: &JobManagerOptions,
        checkpoints: &CheckpointOptions,
        folder: &StorageLocation,
    ) -> TaskSettings {
        let from_local = self.from_local.unwrap_or(options.from_local);
        TaskSettings {
            state_backend: self.state_backend.unwrap_or(options.state_backend),
            checkpoints: CheckpointSettings {
                folder: folder.to_string(),
                inline_bytes_max: self.inline_bytes_max.unwrap_or(options.inline_bytes_max),
                periodic: checkpoints.interval_ms.is_some(),
                local_backup: self.local_backup.or(options.local_backup).unwrap_or(from_local),
                from_local,
            },
            buffer_timeout_ms: self.buffer_timeout_ms.unwrap_or(options.buffer_timeout_ms),
            discard_instances_seed: self.discard_instances_seed,
        }
    }
}

/// Reads a size of state that stands in a checkpoint's metadata, in bytes.
pub fn inline_bytes(value: &str) -> Result<u32, String> {
    let bytes = parse_bytes(value).map_err(|error| error.to_string())?;
    let bytes = Some(bytes).filter(|bytes| *bytes <= INLINE_BYTES_MAX).and_then(|bytes| u32::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("at most {} may be stored inline", millrace_types::format_bytes(INLINE_BYTES_MAX)))
}

/// Reads `true` or `false`.
fn flag(value: &str) -> Result<bool, String> {
    value.trim().parse().map_err(|_| "write true or false".to_owned())
}

/// Reads the name of a state backend.
pub fn state_backend(value: &str) -> Result<StateBackendKind, String> {
    match value.trim().to_ascii_lowercase().as_str() {
        "hashmap" => Ok(StateBackendKind::Hashmap),
        "redb" => Ok(StateBackendKind::Redb),
        "rocksdb" => Err("the backend that is larger than memory is called redb here".to_owned()),
        _ => Err("write hashmap or redb".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use millrace_job_core::RestartStrategy;

    #[test]
    fn unknown_and_ill_typed_options_are_named() {
        let parse = |key: &str, value: &str| RunSettings::parse(&BTreeMap::from([(key.to_owned(), value.to_owned())]));
        for (key, value) in [
            ("pipeline.nmae", "x"),
            (PARALLELISM, "two"),
            (BUFFER_TIMEOUT, "soon"),
            (DISCARD_SEED, ""),
            ("restart-strategy.type", "sometimes"),
            ("restart-strategy.typ", "none"),
            ("execution.checkpointing.interval", "often"),
            (INLINE_MAX, "2 mb"),
            (STATE_BACKEND, "rocksdb"),
            (RECOVERY_CLAIM, "LEGACY"),
            (RECOVERY_SKIP, "perhaps"),
            ("jobmanager.scheduler", "eager"),
            ("jobmanager.adaptive-scheduler.submission.resource-wait-timeout", "soon"),
        ] {
            let error = parse(key, value).map_err(|error| error.to_string());
            assert!(error.as_ref().is_err_and(|text| text.contains(key)), "{error:?}");
        }
        assert_eq!(parse(PARALLELISM, "3").ok().and_then(|settings| settings.parallelism()), Some(3));
    }

    #[test]
    fn a_run_states_its_checkpoints_over_the_clusters() {
        let mut cluster = JobManagerOptions::default();
        cluster.checkpoints.interval_ms = Some(60_000);
        let options = [
            ("execution.checkpointing.timeout", "7 s"),
            (INLINE_MAX, "1 kb"),
            (STATE_BACKEND, "redb"),
            (RECOVERY_PATH, "/s"),
            (RECOVERY_CLAIM, "claim"),
        ];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = RunSettings::parse(&options.into()).unwrap();
        let checkpoints = settings.checkpoint_options(&cluster).unwrap();
        assert_eq!((checkpoints.interval_ms, checkpoints.timeout_ms), (Some(60_000), 7_000));
        let tasks = settings.task_settings(&cluster, &checkpoints, &StorageLocation::Local("/c/j".into()));
        assert_eq!(tasks.state_backend, StateBackendKind::Redb);
        let expected = CheckpointSettings {
            folder: "/c/j".to_owned(),
            inline_bytes_max: 1024,
            periodic: true,
            ..CheckpointSettings::default()
        };
        assert_eq!(tasks.checkpoints, expected);
        assert_eq!((settings.recovery().path.as_deref(), settings.recovery().claim), (Some("/s"), ClaimMode::Claim));
        let restarts = settings.job_options(&cluster).unwrap().restart_strategy;
        assert!(matches!(restarts, RestartStrategy::ExponentialDelay(_)), "{restarts}");
    }

    #[test]
    fn state_is_copied_where_copies_are_read_unless_it_says_otherwise() {
        let copies = |cluster: (Option<bool>, bool), run: &[(&str, &str)]| {
            let cluster = JobManagerOptions { local_backup: cluster.0, from_local: cluster.1, ..Default::default() };
            let options = run.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let settings = RunSettings::parse(&options).unwrap();
            let tasks = settings.task_settings(&cluster, &cluster.checkpoints, &StorageLocation::Local("/c/j".into()));
            (tasks.checkpoints.local_backup, tasks.checkpoints.from_local)
        };
        assert_eq!(copies((None, false), &[]), (false, false));
        assert_eq!(copies((None, true), &[]), (true, true));
        assert_eq!(copies((None, false), &[(FROM_LOCAL, "true")]), (true, true));
        assert_eq!(copies((None, true), &[(FROM_LOCAL, "false")]), (false, false));
        assert_eq!(copies((Some(false), false), &[(FROM_LOCAL, "true")]), (false, true));
        assert_eq!(copies((Some(false), false), &[(LOCAL_BACKUP, "true")]), (true, false));
    }

    #[test]
    fn a_run_states_its_scheduler_over_the_clusters() {
        let mut cluster = JobManagerOptions::default();
        let (kind, wait) = ("jobmanager.scheduler", "jobmanager.adaptive-scheduler.submission.resource-wait-timeout");
        cluster.scheduler.set(wait, "7 s").unwrap();
        let adaptive = |options: &[(&str, &str)]| {
            let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            RunSettings::parse(&options).unwrap().job_options(&cluster).unwrap().adaptive
        };
        assert_eq!(adaptive(&[]), None);
        assert_eq!(adaptive(&[(kind, "adaptive")]).and_then(|options| options.wait_timeout_ms), Some(7_000));
        assert_eq!(adaptive(&[(kind, "adaptive"), (wait, "-1 s")]).map(|options| options.wait_timeout_ms), Some(None));
    }

    #[test]
    fn a_run_states_its_restart_strategy_over_the_clusters() {
        let strategy = |options: &[(&str, &str)]| {
            let mut cluster = JobManagerOptions::default();
            cluster.restart.set("restart-strategy.type", "fixed-delay").map_err(|error| error.to_string())?;
            cluster.restart.set("restart-strategy.fixed-delay.delay", "7 s").map_err(|error| error.to_string())?;
            let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let settings = RunSettings::parse(&options).map_err(|error| error.to_string())?;
            settings.job_options(&cluster).map(|job| job.restart_strategy).map_err(|error| error.to_string())
        };
        let fixed = |attempts| Ok(RestartStrategy::FixedDelay { attempts, delay_ms: 7_000 });
        assert_eq!(strategy(&[]), fixed(1));
        assert_eq!(strategy(&[("restart-strategy.fixed-delay.attempts", "5")]), fixed(5));
        assert_eq!(strategy(&[("restart-strategy.type", "off")]), Ok(RestartStrategy::None));
        let contradiction = [
            ("restart-strategy.type", "exponential-delay"),
            ("restart-strategy.exponential-delay.initial-backoff", "5 min"),
        ];
        assert!(strategy(&contradiction).is_err_and(|error| error.contains("max-backoff")));
    }
}
