//! The configuration of a process: one TOML file, `MILLRACE_…` of the environment, `-D` and flags, in rising precedence.
//!
//! Options have Flink's names where they exist there. Invariants: an unknown key is an error that names it and the
//! nearest known one; a value is checked when it is read, not when it is first used; an option that is listed in
//! [`OPTIONS`] is read somewhere.

mod native;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use millrace_jobmanager::{
    CHECKPOINT_OPTIONS, CheckpointOptions, NamedOption, RESTART_OPTIONS, RestartOptions, SCHEDULER_OPTIONS,
    SchedulerOptions, WorkerOptions, inline_bytes, state_backend,
};
use millrace_types::{parse_bytes, parse_duration_ms};

pub(crate) use native::{DRIVER, PROCESS_DIR, PROCESS_DRIVER, PROCESS_ENDS, REPLACES};

/// What kind of value an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// What nobody may be shown.
    Secret,
    Count,
    Memory,
    Duration,
    /// An option of the restart strategies, which check it.
    Restart,
    /// An option of the scheduler, which checks it.
    Scheduler,
    /// An option of checkpoints, which check it.
    Checkpoints,
    /// An option of native mode, which checks it.
    Workers,
    /// What starts TaskManagers.
    Driver,
    /// A size of state that stands in a checkpoint's metadata.
    Inline,
    /// The name of a state backend.
    Backend,
    /// `true` or `false`; empty: not set.
    Flag,
}

/// One option.
#[derive(Clone, Copy)]
pub(crate) struct OptionSpec {
    pub(crate) key: &'static str,
    kind: Kind,
    default: &'static str,
    pub(crate) description: &'static str,
}

const fn option(key: &'static str, kind: Kind, default: &'static str, description: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default, description }
}

pub(crate) const REST_ADDRESS: &str = "rest.address";
pub(crate) const REST_PORT: &str = "rest.port";
pub(crate) const RPC_ADDRESS: &str = "jobmanager.rpc.address";
pub(crate) const RPC_PORT: &str = "jobmanager.rpc.port";
pub(crate) const DATA_ADDRESS: &str = "taskmanager.host";
pub(crate) const DATA_PORT: &str = "taskmanager.data.port";
pub(crate) const RESOURCE_ID: &str = "taskmanager.resource-id";
pub(crate) const REGISTRATION_TIMEOUT: &str = "taskmanager.registration.timeout";
pub(crate) const ORPHAN_TIMEOUT: &str = "taskmanager.leader-loss.timeout";
pub(crate) const ADOPTION_TIMEOUT: &str = "jobmanager.adoption.timeout";
pub(crate) const RPC_PEERS: &str = "jobmanager.rpc.peers";
pub(crate) const RAFT_ID: &str = "high-availability.raft.id";
pub(crate) const RAFT_PEERS: &str = "high-availability.raft.peers";
pub(crate) const RAFT_JOIN: &str = "high-availability.raft.join";
pub(crate) const HA_STORAGE_DIR: &str = "high-availability.storageDir";
pub(crate) const SLOTS: &str = "taskmanager.numberOfTaskSlots";
pub(crate) const PARALLELISM: &str = "parallelism.default";
pub(crate) const BUFFER_TIMEOUT: &str = "execution.buffer-timeout.interval";
pub(crate) const HEARTBEAT_INTERVAL: &str = "heartbeat.interval";
pub(crate) const HEARTBEAT_TIMEOUT: &str = "heartbeat.timeout";
pub(crate) const JOBSTORE_CAPACITY: &str = "jobstore.max-capacity";
pub(crate) const JOBSTORE_EXPIRATION: &str = "jobstore.expiration-time";
pub(crate) const NETWORK_MEMORY: &str = "taskmanager.memory.network.max";
pub(crate) const DATA_DIR: &str = "data.dir";
pub(crate) const FILE_ROOTS: &str = "file.roots";
pub(crate) const HTTP_ORIGINS: &str = "http.allowed-origins";
pub(crate) const BUNDLE_MAX: &str = "rest.upload.size-max";
pub(crate) const FLAME_ENABLED: &str = "rest.flamegraph.enabled";
pub(crate) const FLAME_SAMPLES: &str = "rest.flamegraph.num-samples";
pub(crate) const FLAME_DELAY: &str = "rest.flamegraph.delay-between-samples";
pub(crate) const FLAME_REFRESH: &str = "rest.flamegraph.refresh-interval";
pub(crate) const FLAME_CLEANUP: &str = "rest.flamegraph.cleanup-interval";
pub(crate) const FLAME_DEPTH: &str = "rest.flamegraph.stack-depth";
pub(crate) const TRACES_ENDPOINT: &str = "traces.reporter.otel.exporter.endpoint";
pub(crate) const TRACES_TIMEOUT: &str = "traces.reporter.otel.exporter.timeout";
pub(crate) const TRACES_SERVICE: &str = "traces.reporter.otel.service.name";
pub(crate) const SANDBOX_MEMORY: &str = "taskmanager.sandbox.memory";
pub(crate) const SANDBOX_DEADLINE: &str = "taskmanager.sandbox.call-deadline";
pub(crate) const SANDBOX_OUTPUT: &str = "taskmanager.sandbox.output-per-call";
pub(crate) const SANDBOX_LOG_RATE: &str = "taskmanager.sandbox.log-lines-per-second";

pub(crate) const CHECKPOINT_DIR: &str = "execution.checkpointing.dir";
pub(crate) const SAVEPOINT_DIR: &str = "execution.checkpointing.savepoint-dir";
pub(crate) const INLINE_MAX: &str = "execution.checkpointing.data-inline-threshold";
pub(crate) const S3_ENDPOINT: &str = "s3.endpoint";
pub(crate) const S3_REGION: &str = "s3.region";
pub(crate) const S3_ACCESS_KEY: &str = "s3.access-key";
pub(crate) const S3_SECRET_KEY: &str = "s3.secret-key";
pub(crate) const S3_PATH_STYLE: &str = "s3.path.style.access";
pub(crate) const S3_RETRY_TIMEOUT: &str = "s3.retry-timeout";
pub(crate) const STATE_BACKEND: &str = "state.backend.type";
pub(crate) const LOCAL_BACKUP: &str = "execution.checkpointing.local-backup.enabled";
pub(crate) const LOCAL_DIRS: &str = "execution.checkpointing.local-backup.dirs";
pub(crate) const LOCAL_MAX: &str = "execution.checkpointing.local-backup.size-max";
pub(crate) const FROM_LOCAL: &str = "execution.state-recovery.from-local";
pub(crate) const STATE_MEMORY: &str = "state.backend.redb.memory-per-task";
pub(crate) const STATE_DISK: &str = "state.backend.redb.disk-per-task";

const fn listed(kind: Kind, NamedOption { key, default, description }: NamedOption) -> OptionSpec {
    option(key, kind, default, description)
}

const fn restart(index: usize) -> OptionSpec {
    listed(Kind::Restart, RESTART_OPTIONS[index])
}

const fn scheduler(index: usize) -> OptionSpec {
    listed(Kind::Scheduler, SCHEDULER_OPTIONS[index])
}

const fn checkpoints(index: usize) -> OptionSpec {
    listed(Kind::Checkpoints, CHECKPOINT_OPTIONS[index])
}

/// All options, in the order in which they are printed.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    option(REST_ADDRESS, Kind::Text, "127.0.0.1", "the address that the REST API listens on"),
    option(REST_PORT, Kind::Count, "8081", "its port; 0 takes a free one"),
    option(BUNDLE_MAX, Kind::Memory, "128 mb", "the largest bundle that may be uploaded"),
    option(FLAME_ENABLED, Kind::Flag, "true", "whether flame graphs are made when somebody asks for one"),
    option(FLAME_SAMPLES, Kind::Count, "100", "how often each task is looked at for one, at most 1000"),
    option(FLAME_DELAY, Kind::Duration, "50 ms", "the time between two looks, at most 1 s"),
    option(FLAME_REFRESH, Kind::Duration, "1 min", "how long a flame graph is shown before another one is made"),
    option(FLAME_CLEANUP, Kind::Duration, "10 min", "how long a flame graph is kept that nobody asks for"),
    option(FLAME_DEPTH, Kind::Count, "100", "the most functions of a stack, the innermost ones, at most 128"),
    option(
        TRACES_ENDPOINT,
        Kind::Text,
        "",
        "where traces of jobs are sent by OTLP over HTTP, http://HOST:4318; else nowhere",
    ),
    option(TRACES_TIMEOUT, Kind::Duration, "10 s", "how long whoever takes them may take"),
    option(TRACES_SERVICE, Kind::Text, "millrace", "the service that traces name"),
    option(DATA_DIR, Kind::Text, "millrace-data", "where bundles, jobs and logs are kept"),
    option(
        FILE_ROOTS,
        Kind::Text,
        "",
        "what clients may reach, separated by ':': folders, and for savepoints s3://bucket/prefix",
    ),
    option(HTTP_ORIGINS, Kind::Text, "", "origins that HTTP connectors may reach, http://HOST:PORT, separated by ','"),
    option(RPC_ADDRESS, Kind::Text, "127.0.0.1", "the address at which a JobManager takes TaskManagers"),
    option(RPC_PORT, Kind::Count, "6123", "its port; 0 takes a free one"),
    option(DATA_ADDRESS, Kind::Text, "127.0.0.1", "the address at which a TaskManager takes records of others"),
    option(DATA_PORT, Kind::Count, "0", "its port; 0 takes a free one"),
    option(RESOURCE_ID, Kind::Text, "", "what a TaskManager's ids begin with; its machine and process unless set"),
    option(
        RPC_PEERS,
        Kind::Text,
        "",
        "the RPC addresses of all JobManagers, HOST:PORT separated by ','; else the one above",
    ),
    option(RAFT_ID, Kind::Text, "", "which member of its group a JobManager is; 1 where it is alone"),
    option(
        RAFT_PEERS,
        Kind::Text,
        "",
        "the members that a group of JobManagers begins with, ID=HOST:RPC_PORT:REST_PORT separated by ','",
    ),
    option(RAFT_JOIN, Kind::Flag, "", "whether a JobManager waits to be added to a group that there is"),
    option(REGISTRATION_TIMEOUT, Kind::Duration, "5 min", "how long a TaskManager looks for a JobManager"),
    option(ORPHAN_TIMEOUT, Kind::Duration, "30 s", "how long tasks run on while their TaskManager looks for a leader"),
    option(ADOPTION_TIMEOUT, Kind::Duration, "3 s", "how long a new leader waits for the tasks of the one before"),
    native::OPTIONS[0],
    native::OPTIONS[1],
    native::OPTIONS[2],
    native::OPTIONS[3],
    native::OPTIONS[4],
    native::OPTIONS[5],
    native::OPTIONS[6],
    native::OPTIONS[7],
    native::OPTIONS[8],
    native::OPTIONS[9],
    native::OPTIONS[10],
    option(SLOTS, Kind::Count, "0", "the slots of a TaskManager; 0: the processor cores"),
    option(PARALLELISM, Kind::Count, "1", "the parallelism of operators and runs that state none"),
    option(BUFFER_TIMEOUT, Kind::Duration, "5 ms", "how long a partly filled batch waits for more rows"),
    option(NETWORK_MEMORY, Kind::Memory, "64 mb", "memory for batches between tasks, per TaskManager"),
    option(HEARTBEAT_INTERVAL, Kind::Duration, "500 ms", "how often a TaskManager says that it is alive"),
    option(HEARTBEAT_TIMEOUT, Kind::Duration, "3 s", "after what silence a TaskManager counts as lost"),
    option(JOBSTORE_CAPACITY, Kind::Count, "1000", "how many ended jobs are kept per tenant"),
    option(JOBSTORE_EXPIRATION, Kind::Duration, "1 h", "how long ended jobs are kept"),
    option(SANDBOX_MEMORY, Kind::Memory, "256 mb", "linear memory of one instance, unless its manifest asks for less"),
    option(SANDBOX_DEADLINE, Kind::Duration, "10 s", "how long one call into a guest may run"),
    option(SANDBOX_OUTPUT, Kind::Memory, "256 mb", "what one call into a guest may emit"),
    option(SANDBOX_LOG_RATE, Kind::Count, "1000", "log lines a second of one instance; more are dropped and counted"),
    restart(0),
    restart(1),
    restart(2),
    restart(3),
    restart(4),
    restart(5),
    restart(6),
    restart(7),
    restart(8),
    restart(9),
    restart(10),
    restart(11),
    scheduler(0),
    scheduler(1),
    scheduler(2),
    scheduler(3),
    scheduler(4),
    scheduler(5),
    checkpoints(0),
    checkpoints(1),
    checkpoints(2),
    checkpoints(3),
    checkpoints(4),
    checkpoints(5),
    checkpoints(6),
    checkpoints(7),
    checkpoints(8),
    checkpoints(9),
    checkpoints(10),
    option(
        CHECKPOINT_DIR,
        Kind::Text,
        "",
        "where checkpoints are written: a folder that all processes share, or s3://bucket/prefix; checkpoints in data.dir \
         unless set",
    ),
    option(SAVEPOINT_DIR, Kind::Text, "", "where savepoints are written for which no folder is named"),
    option(
        HA_STORAGE_DIR,
        Kind::Text,
        "",
        "where bundles are kept, and checkpoints unless their place is set: a folder that all JobManagers share, or \
         s3://bucket/prefix; data.dir unless set",
    ),
    option(S3_ENDPOINT, Kind::Text, "", "the URL of an S3 server that is not Amazon's"),
    option(S3_REGION, Kind::Text, "", "the region of S3; AWS_REGION unless set"),
    option(S3_ACCESS_KEY, Kind::Secret, "", "the id of the key for S3; unless set, what Amazon's own tools would take"),
    option(S3_SECRET_KEY, Kind::Secret, "", "the key for S3; best in the file, as MILLRACE_S3_SECRET_KEY or as AWS_…"),
    option(S3_PATH_STYLE, Kind::Flag, "false", "whether the bucket stands in the path and not in the host's name"),
    option(
        S3_RETRY_TIMEOUT,
        Kind::Duration,
        "60 s",
        "for how long a request is repeated that S3 does not take for now",
    ),
    option(INLINE_MAX, Kind::Inline, "20 kb", "state of at most so many bytes stands in a checkpoint's metadata"),
    option(
        FROM_LOCAL,
        Kind::Flag,
        "false",
        "whether tasks that come back are restored from copies on the same machine",
    ),
    option(
        LOCAL_BACKUP,
        Kind::Flag,
        "",
        "whether such copies are made; as execution.state-recovery.from-local unless set",
    ),
    option(
        LOCAL_DIRS,
        Kind::Text,
        "",
        "where they are kept, separated by ':'; local-state in the data folder unless set",
    ),
    option(LOCAL_MAX, Kind::Memory, "10 gb", "what they may take on the disks of a TaskManager"),
    option(STATE_BACKEND, Kind::Backend, "hashmap", "what keyed state is kept in: hashmap (memory) or redb (disk)"),
    option(STATE_MEMORY, Kind::Memory, "64 mb", "what a task's keyed state may take in memory, where it is on disk"),
    option(STATE_DISK, Kind::Memory, "256 gb", "what a task's keyed state may take on disk"),
];

/// The effective options.
#[derive(Debug, Clone)]
pub(crate) struct Configuration {
    values: BTreeMap<&'static str, (String, String)>,
}

impl Configuration {
    /// Reads the file, the environment and `-D`, and checks every value.
    pub(crate) fn load(file: Option<&Path>, define: &[String]) -> Result<Self> {
        let mut configuration = Self { values: BTreeMap::new() };
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let table: toml::Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
            let mut flat = Vec::new();
            flatten("", &toml::Value::Table(table), &mut flat);
            for (key, value) in flat {
                configuration.set(&key, value, &format!("the file {}", path.display()))?;
            }
        }
        for spec in OPTIONS {
            let name = environment_name(spec.key);
            if let Ok(value) = std::env::var(&name) {
                configuration.set(spec.key, value, &format!("the environment's {name}"))?;
            }
        }
        for (key, value) in parse_definitions(define)? {
            configuration.set(&key, value, "-D")?;
        }
        Ok(configuration)
    }

    /// Sets an option, checked.
    pub(crate) fn set(&mut self, key: &str, value: String, origin: &str) -> Result<()> {
        let spec = OPTIONS.iter().find(|spec| spec.key == key).ok_or_else(|| {
            let hint = nearest(key).map_or_else(String::new, |known| format!("; did you mean \"{known}\"?"));
            anyhow!("{origin} sets \"{key}\", which is no option{hint} `millrace config --describe` lists them all")
        })?;
        let checked = match spec.kind {
            Kind::Text | Kind::Secret => Ok(()),
            Kind::Count => value.parse::<u32>().map(drop).map_err(|_| anyhow!("\"{value}\" is not a whole number")),
            Kind::Memory => parse_bytes(&value).map(drop).map_err(Into::into),
            Kind::Duration => parse_duration_ms(&value).map(drop).map_err(Into::into),
            Kind::Restart => RestartOptions::default().set(key, &value).map_err(Into::into),
            Kind::Scheduler => SchedulerOptions::default().set(key, &value).map_err(Into::into),
            Kind::Checkpoints => CheckpointOptions::default().set(key, &value).map_err(Into::into),
            Kind::Workers => WorkerOptions::default().set(key, &value).map_err(Into::into),
            Kind::Driver => native::check_driver(&value),
            Kind::Inline => inline_bytes(&value).map(drop).map_err(|what| anyhow!(what)),
            Kind::Flag => flag(&value).map(drop),
            Kind::Backend => state_backend(&value).map(drop).map_err(|what| anyhow!(what)),
        };
        checked.with_context(|| format!("{origin} sets {key}"))?;
        self.values.insert(spec.key, (value, origin.to_owned()));
        Ok(())
    }

    /// An option's text.
    pub(crate) fn text(&self, key: &'static str) -> &str {
        let default = || OPTIONS.iter().find(|spec| spec.key == key).map_or("", |spec| spec.default);
        self.values.get(key).map_or_else(default, |(value, _)| value.as_str())
    }

    /// An option's text for people to see.
    pub(crate) fn shown(&self, spec: &OptionSpec) -> &str {
        let text = self.text(spec.key);
        if spec.kind == Kind::Secret && !text.is_empty() { "******" } else { text }
    }

    /// All options for people to see, by name.
    pub(crate) fn all_shown(&self) -> Vec<(String, String)> {
        OPTIONS.iter().map(|spec| (spec.key.to_owned(), self.shown(spec).to_owned())).collect()
    }

    /// Who set an option.
    pub(crate) fn origin(&self, key: &'static str) -> &str {
        self.values.get(key).map_or("default", |(_, origin)| origin.as_str())
    }

    /// An option that is a number.
    pub(crate) fn count(&self, key: &'static str) -> Result<u32> {
        self.text(key).parse().with_context(|| format!("{key} is not a whole number"))
    }

    /// An option that is true or false, if it is set.
    pub(crate) fn flag(&self, key: &'static str) -> Result<Option<bool>> {
        flag(self.text(key)).with_context(|| key.to_owned())
    }

    /// An option that is an amount of memory, in bytes.
    pub(crate) fn bytes(&self, key: &'static str) -> Result<u64> {
        parse_bytes(self.text(key)).with_context(|| key.to_owned())
    }

    /// The options of the restart strategies, which have to agree with each other.
    pub(crate) fn restart(&self) -> Result<RestartOptions> {
        let mut options = RestartOptions::default();
        for option in RESTART_OPTIONS {
            options.set(option.key, self.text(option.key))?;
        }
        options.strategy(false)?;
        Ok(options)
    }

    /// The options of the scheduler.
    pub(crate) fn scheduler(&self) -> Result<SchedulerOptions> {
        let mut options = SchedulerOptions::default();
        for option in SCHEDULER_OPTIONS {
            options.set(option.key, self.text(option.key))?;
        }
        Ok(options)
    }

    /// The options of checkpoints, which have to agree with each other.
    pub(crate) fn checkpoints(&self) -> Result<CheckpointOptions> {
        let mut options = CheckpointOptions::default();
        for option in CHECKPOINT_OPTIONS {
            options.set(option.key, self.text(option.key))?;
        }
        options.check()?;
        Ok(options)
    }

    /// An option that is a span of time, in milliseconds.
    pub(crate) fn duration_ms(&self, key: &'static str) -> Result<u64> {
        parse_duration_ms(self.text(key)).with_context(|| key.to_owned())
    }
}

/// Reads `true` or `false`, or nothing.
fn flag(value: &str) -> Result<Option<bool>> {
    match value.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| anyhow!("\"{value}\" is neither true nor false")),
    }
}

/// The local folders of `file.roots`, and what it names of S3.
pub(crate) fn split_roots(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut local, mut s3): (Vec<String>, Vec<String>) = Default::default();
    let mut parts = text.split(':').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        // The ':' of a scheme separates nothing.
        match parts.next_if(|rest| part == "s3" && rest.starts_with("//")) {
            Some(rest) => s3.push(format!("{part}:{rest}")),
            None => local.push(part.to_owned()),
        }
    }
    (local, s3)
}

/// `KEY=VALUE`s of the command line.
pub(crate) fn parse_definitions(define: &[String]) -> Result<BTreeMap<String, String>> {
    let mut definitions = BTreeMap::new();
    for text in define {
        let Some((key, value)) = text.split_once('=') else {
            bail!("-D {text} has no '=': write -D KEY=VALUE");
        };
        definitions.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(definitions)
}

/// `rest.upload.size-max` is `MILLRACE_REST_UPLOAD_SIZE_MAX`.
fn environment_name(key: &str) -> String {
    let mut name = String::from("MILLRACE_");
    name.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }));
    name
}

fn flatten(prefix: &str, value: &toml::Value, out: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, out);
            }
        }
        toml::Value::String(text) => out.push((prefix.to_owned(), text.clone())),
        other => out.push((prefix.to_owned(), other.to_string())),
    }
}

/// The known key that shares the most with an unknown one: the same last part, or the longest common beginning.
fn nearest(key: &str) -> Option<&'static str> {
    let score = |known: &str| known.bytes().zip(key.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    let best = OPTIONS.iter().map(|spec| spec.key).max_by_key(|known| score(known))?;
    (score(best) >= 3).then_some(best)
}

#[cfg(test)]
mod tests;
