//! The options of one run: what `flinkConfiguration` of a request and `-D` of `millrace run` may hold.

use std::collections::BTreeMap;

use millrace_job_core::{JobOptions, RESTART_OPTIONS, RestartOptions};
use millrace_protocol::TaskSettings;
use millrace_types::parse_duration_ms;

use crate::DispatcherError;
use crate::options::JobManagerOptions;

const NAME: &str = "pipeline.name";
const PARALLELISM: &str = "parallelism.default";
const BUFFER_TIMEOUT: &str = "execution.buffer-timeout.interval";
const DISCARD_SEED: &str = "sandbox.discard-instances.seed";

/// The options of a run besides [`RESTART_OPTIONS`], each with its meaning.
pub const RUN_OPTIONS: &[(&str, &str)] = &[
    (NAME, "the job's name"),
    (PARALLELISM, "the parallelism of operators that state none"),
    (BUFFER_TIMEOUT, "how long a partly filled batch waits for more rows"),
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
                _ => {
                    let restart = RESTART_OPTIONS.iter().map(|option| option.key);
                    let known: Vec<&str> = RUN_OPTIONS.iter().map(|(key, _)| *key).chain(restart).collect();
                    return Err(DispatcherError::Invalid(format!(
                        "\"{key}\" is no option of a run; there are {}",
                        known.join(", ")
                    )));
                }
            }
        }
        Ok(settings)
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
        let mut restart = options.restart.clone();
        let set = self.restart.iter().try_for_each(|(key, value)| restart.set(key, value));
        let strategy = set.and_then(|()| restart.strategy());
        let restart_strategy = strategy.map_err(|error| DispatcherError::Invalid(error.to_string()))?;
        Ok(JobOptions { restart_strategy, restart_seed: rand::random(), ..JobOptions::default() })
    }

    pub(crate) fn task_settings(&self, options: &JobManagerOptions) -> TaskSettings {
        TaskSettings {
            buffer_timeout_ms: self.buffer_timeout_ms.unwrap_or(options.buffer_timeout_ms),
            discard_instances_seed: self.discard_instances_seed,
            ..TaskSettings::default()
        }
    }
}

#[cfg(test)]
mod tests {
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
        ] {
            let error = parse(key, value).map_err(|error| error.to_string());
            assert!(error.as_ref().is_err_and(|text| text.contains(key)), "{error:?}");
        }
        assert_eq!(parse(PARALLELISM, "3").ok().and_then(|settings| settings.parallelism()), Some(3));
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
