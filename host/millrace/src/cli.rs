//! The command line, as `clap` sees it. What each command does is in `commands/`.

mod top;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use millrace_jobmanager::recovery_options;
use millrace_types::CrashAt;

use crate::paths::make_absolute;
pub(crate) use top::Top;

/// A stream processor in the architecture of Apache Flink whose user code is WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "Examples:
  millrace standalone                        start a cluster of one process on 127.0.0.1:8081
  millrace new my-app && cd my-app           make a project that builds and passes its own test
  millrace build                             build it into target/bundles/my-app.mrb
  millrace run target/bundles/my-app.mrb -- --input lines.txt --output counts
  millrace list                              see what runs
  millrace cancel JOB                        stop it";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a cluster of one process: Dispatcher, JobManager, ResourceManager and a TaskManager.
    Standalone(Standalone),
    /// Start a JobManager: Dispatcher, ResourceManager and JobMasters. Its TaskManagers are processes of their own.
    #[command(name = "jobmanager")]
    JobManager(JobManager),
    /// Start a TaskManager that offers its slots to a JobManager.
    #[command(name = "taskmanager")]
    TaskManager(TaskManager),
    /// Start a JobManager that runs one application and ends with it.
    Application(Application),
    /// Upload a bundle, run it and follow it until it ends.
    Run(Run),
    /// List the jobs and the bundles of a cluster.
    List(List),
    /// Show a bundle's manifest and plan without running it.
    Info(Info),
    /// Cancel a job and wait until it has ended.
    Cancel(Cancel),
    /// Take a savepoint of a running job, or dispose of one.
    Savepoint(Savepoint),
    /// Stop a job with a savepoint.
    Stop(Stop),
    /// Replace the code of a running job, keeping its state.
    Upgrade(Upgrade),
    /// Show a job's checkpoints.
    Checkpoints(Checkpoints),
    /// Print the logs of a job's tasks.
    Logs(Logs),
    /// Watch the cluster, its jobs and their tasks.
    Top(Top),
    /// Show or change the group of JobManagers.
    Cluster(Cluster),
    /// Make a project for an application in Rust.
    New(New),
    /// Build a project into a bundle.
    Build(Build),
    /// Print the effective configuration.
    Config(Config),
    /// Compile one component; what a TaskManager starts, with limits, to keep a compiler's faults out of its own process.
    #[command(name = "compile-component", hide = true)]
    CompileComponent,
}

/// How to set options.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// A TOML file of options.
    #[arg(long, value_name = "FILE", env = "MILLRACE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set an option, before the file and the environment; may be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub(crate) define: Vec<String>,
}

/// Which cluster to speak to.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// The cluster's REST address, of any of its JobManagers; several, separated by ',', are tried in turn.
    #[arg(short = 'm', long = "jobmanager", value_name = "HOST:PORT", default_value = "127.0.0.1:8081")]
    pub(crate) jobmanager: String,
    /// Print JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  millrace standalone --slots 4 --data-dir /var/lib/millrace --listen 127.0.0.1:8081"
)]
pub(crate) struct Standalone {
    /// The number of slots; the processor cores unless stated.
    #[arg(long)]
    pub(crate) slots: Option<u32>,
    /// Where bundles, jobs and logs are kept.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The address of the REST API; port 0 takes a free one and prints it.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// A folder that file connectors may reach; may be repeated. Without it a process that listens on loopback allows what
    /// its user may read, any other nothing.
    #[arg(long, value_name = "DIR")]
    pub(crate) file_root: Vec<PathBuf>,
    /// An origin that HTTP connectors may reach, such as http://127.0.0.1:8080; may be repeated. Without it none may be.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) http_origin: Vec<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// What every process with a JobManager of its own takes.
#[derive(Debug, Args)]
pub(crate) struct JobManagerArgs {
    /// Where bundles and jobs are kept.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The address of the REST API; port 0 takes a free one and prints it.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Where TaskManagers connect; port 0 takes a free one and prints it.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) rpc: Option<String>,
    /// A folder that file connectors may reach; may be repeated. Without it none may be.
    #[arg(long, value_name = "DIR")]
    pub(crate) file_root: Vec<PathBuf>,
    /// An origin that HTTP connectors may reach, such as http://127.0.0.1:8080; may be repeated. Without it none may be.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) http_origin: Vec<String>,
    /// Start, watch and stop TaskManagers as processes of this machine, as many as jobs need: `resourcemanager.driver`.
    #[arg(long)]
    pub(crate) native: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  millrace jobmanager --listen 127.0.0.1:8081 --rpc 127.0.0.1:6123 --data-dir jm --file-root /data
  millrace taskmanager --jobmanager 127.0.0.1:6123 --slots 4 --data-dir tm --file-root /data

One that starts its TaskManagers by itself, of two slots each:
  millrace jobmanager --native --data-dir jm --file-root /data -D taskmanager.numberOfTaskSlots=2

Three that stand in for each other, each on a machine of its own, with a folder that all share:
  millrace jobmanager --id 1 --peers 1=jm-1:6123,2=jm-2:6123,3=jm-3:6123 --rpc 0.0.0.0:6123 \\
    --listen 0.0.0.0:8081 -D high-availability.storageDir=/shared/millrace
  millrace taskmanager --jobmanager jm-1:6123,jm-2:6123,jm-3:6123")]
pub(crate) struct JobManager {
    #[command(flatten)]
    pub(crate) common: JobManagerArgs,
    /// Which member of its group this JobManager is, for good: a data folder belongs to one member.
    #[arg(long, value_name = "N")]
    pub(crate) id: Option<u64>,
    /// The members that the group begins with, this one too, such as 1=jm-1:6123,2=jm-2:6123,3=jm-3:6123; behind the RPC
    /// port may follow :REST_PORT. All of them are started with the same list; the group is formed once.
    #[arg(long, value_name = "ID=HOST:PORT,...")]
    pub(crate) peers: Option<String>,
    /// Wait to be added to a group that there is, by `millrace cluster add`.
    #[arg(long)]
    pub(crate) join: bool,
    /// Die at a point of a checkpoint, for tests of recovery.
    #[arg(long, value_name = "POINT:PASSES", hide = true)]
    pub(crate) crash_at: Option<CrashAt>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  millrace taskmanager --jobmanager jm.example:6123 --slots 4 --listen 10.0.0.7:0 --file-root /data")]
pub(crate) struct TaskManager {
    /// A JobManager's RPC address; may be repeated for a group. `jobmanager.rpc.*` unless stated.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) jobmanager: Vec<String>,
    /// The number of slots; the processor cores unless stated.
    #[arg(long)]
    pub(crate) slots: Option<u32>,
    /// Where other TaskManagers send records, an address that they can reach; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Where logs and compiled code are kept; several TaskManagers may name the same folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A folder that file connectors may reach; may be repeated. Without it none may be.
    #[arg(long, value_name = "DIR")]
    pub(crate) file_root: Vec<PathBuf>,
    /// An origin that HTTP connectors may reach, such as http://127.0.0.1:8080; may be repeated. Without it none may be.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) http_origin: Vec<String>,
    /// Die at a point of a checkpoint, for tests of recovery.
    #[arg(long, value_name = "POINT:PASSES", hide = true)]
    pub(crate) crash_at: Option<CrashAt>,
    /// End with the process of this number, which has started this one.
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) end_with: Option<u32>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  millrace application target/bundles/wordcount.mrb -p 4 --data-dir wc --file-root /data \\
    -- --input /data/book.txt --output /data/counts")]
pub(crate) struct Application {
    /// The bundle, or a single Wasm component.
    pub(crate) bundle: PathBuf,
    /// The parallelism of operators that state none.
    #[arg(short = 'p', long)]
    pub(crate) parallelism: Option<u32>,
    /// The job's name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) common: JobManagerArgs,
    /// The application's arguments, behind `--`.
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millrace run target/bundles/wordcount.mrb -- --input book.txt --output counts
  millrace run -p 4 -d target/bundles/flights.mrb -- --input flights.csv --output delays

Values of arguments named input, output, path, dir or file that are paths of this machine are made absolute before
they are sent; so is every value that begins with ./ or ../")]
pub(crate) struct Run {
    /// The bundle, or a single Wasm component.
    pub(crate) bundle: PathBuf,
    /// The parallelism of operators that state none.
    #[arg(short = 'p', long)]
    pub(crate) parallelism: Option<u32>,
    /// Return as soon as the job is accepted.
    #[arg(short = 'd', long)]
    pub(crate) detached: bool,
    /// The job's name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// An option of this run; may be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub(crate) define: Vec<String>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// The application's arguments, behind `--`.
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millrace list --json | jq -r '.jobs[].jid'")]
pub(crate) struct List {
    /// Also the jobs that have ended.
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// The uploaded bundles instead.
    #[arg(long)]
    pub(crate) bundles: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millrace info target/bundles/wordcount.mrb -- --input book.txt --output counts")]
pub(crate) struct Info {
    /// The bundle, or a single Wasm component.
    pub(crate) bundle: PathBuf,
    /// The parallelism of operators that state none.
    #[arg(short = 'p', long, default_value_t = 1)]
    pub(crate) parallelism: u32,
    /// Print Flink's JSON plan.
    #[arg(long)]
    pub(crate) json: bool,
    /// The application's arguments, behind `--`.
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millrace cancel 5d1c0c3b2f7e4a8e9b6a7d0f1e2c3b4a")]
pub(crate) struct Cancel {
    /// The job's id, as `millrace list` shows it, or its first characters if these are unique.
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What state to begin with.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// Begin with the state of a savepoint, or of a retained checkpoint: its folder.
    #[arg(short = 's', long, value_name = "PATH")]
    pub(crate) from_savepoint: Option<String>,
    /// Who owns the savepoint afterwards: nobody touches it, or the job deletes it once it has a newer checkpoint.
    #[arg(long, value_enum, requires = "from_savepoint")]
    pub(crate) claim_mode: Option<ClaimModeArg>,
    /// Leave out state of operators that the application does not have.
    #[arg(short = 'n', long, requires = "from_savepoint")]
    pub(crate) allow_non_restored_state: bool,
}

impl StateArgs {
    /// The options of a run that say so.
    pub(crate) fn options(&self, folder: &Path) -> BTreeMap<String, String> {
        let Some(path) = &self.from_savepoint else { return BTreeMap::new() };
        let claim = self.claim_mode.map(|mode| match mode {
            ClaimModeArg::NoClaim => "NO_CLAIM".to_owned(),
            ClaimModeArg::Claim => "CLAIM".to_owned(),
        });
        recovery_options(make_absolute(path, folder), claim, self.allow_non_restored_state.then_some(true))
    }
}

/// Who owns a savepoint that a job began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ClaimModeArg {
    /// The user: the job never deletes it, and after its first checkpoint does not need it.
    NoClaim,
    /// The job: it deletes it like one of its own checkpoints.
    Claim,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millrace savepoint 5d1c0c3b /data/savepoints
  millrace savepoint --dispose /data/savepoints/savepoint-5d1c0c-3bdb0e60a650")]
pub(crate) struct Savepoint {
    /// The job's id, or its first characters if these are unique.
    #[arg(required_unless_present = "dispose")]
    pub(crate) job: Option<String>,
    /// Where the savepoint's folder is made; execution.checkpointing.savepoint-dir unless stated.
    pub(crate) folder: Option<String>,
    /// Delete a savepoint instead.
    #[arg(short = 'd', long, value_name = "PATH", conflicts_with_all = ["job", "folder"])]
    pub(crate) dispose: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millrace stop 5d1c0c3b -p /data/savepoints")]
pub(crate) struct Stop {
    /// The job's id, or its first characters if these are unique.
    pub(crate) job: String,
    /// Where the savepoint's folder is made; execution.checkpointing.savepoint-dir unless stated.
    #[arg(short = 'p', long, value_name = "DIR")]
    pub(crate) savepoint_path: Option<String>,
    /// First end the sources as if they were read to their end: all windows fire, and the job is not to be resumed.
    #[arg(long)]
    pub(crate) drain: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millrace upgrade 5d1c0c3b target/bundles/wordcount.mrb

The code is replaced at a barrier, without a restart, if the new graph differs in code and names alone; else the job is
stopped with a savepoint and the new bundle goes on from that. Code that the job's state does not fit is refused, and the
job runs on. Arguments and options of the running job are taken over, unless they are stated.")]
pub(crate) struct Upgrade {
    /// The job's id, or its first characters if these are unique.
    pub(crate) job: String,
    /// The new bundle, or a single Wasm component.
    pub(crate) bundle: PathBuf,
    /// Another parallelism of operators that state none.
    #[arg(short = 'p', long)]
    pub(crate) parallelism: Option<u32>,
    /// If it takes a restart: where the savepoint's folder is made; execution.checkpointing.savepoint-dir unless stated.
    #[arg(long, value_name = "DIR")]
    pub(crate) savepoint_path: Option<String>,
    /// If it takes a restart: leave out state of operators that the new application does not have.
    #[arg(short = 'n', long)]
    pub(crate) allow_non_restored_state: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Other arguments of the application, behind `--`.
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millrace checkpoints 5d1c0c3b")]
pub(crate) struct Checkpoints {
    /// The job's id, or its first characters if these are unique.
    pub(crate) job: String,
    /// Take one now.
    #[arg(long)]
    pub(crate) trigger: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  millrace logs 5d1c0c3b\n  millrace logs 5d1c0c3b --subtask 2")]
pub(crate) struct Logs {
    /// The job's id, as `millrace list` shows it, or its first characters if these are unique.
    pub(crate) job: String,
    /// One vertex alone, by the id that REST shows.
    #[arg(long, value_name = "ID")]
    pub(crate) vertex: Option<String>,
    /// The subtasks of this number alone, from 0.
    #[arg(long, value_name = "N")]
    pub(crate) subtask: Option<u32>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millrace new word-lengths && cd word-lengths && cargo test && millrace build")]
pub(crate) struct New {
    /// The project's name, and its folder's: lower-case letters, digits and '-'.
    pub(crate) name: String,
    /// Where to make the folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) into: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millrace build guest-examples/wordcount --output target/bundles")]
pub(crate) struct Build {
    /// The folder with the project's millrace.toml.
    #[arg(default_value = ".")]
    pub(crate) project: PathBuf,
    /// Where to write NAME.mrb; target/bundles of the project unless stated.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Do not run the build commands: package what was built before.
    #[arg(long)]
    pub(crate) no_build: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    pub(crate) action: ClusterAction,
}

/// What to do with the group of JobManagers.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterAction {
    /// Show the members, who leads, and how far the others are.
    #[command(after_help = "Example:\n  millrace cluster status -m jm-1:8081,jm-2:8081,jm-3:8081")]
    Status {
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Add a member, which was started with --join under an id that the group never had.
    #[command(after_help = "Example:
  millrace jobmanager --id 2 --join --rpc 10.0.0.2:6123 --listen 10.0.0.2:8081 ...     on the new machine
  millrace cluster add 2 10.0.0.2:6123:8081")]
    Add(MemberArgs),
    /// Remove a member, which may be dead.
    Remove {
        /// Its id. It is never used again.
        id: u64,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Say that a member is reached elsewhere from now on.
    Readdress(MemberArgs),
}

/// A member and where it is reached.
#[derive(Debug, Args)]
pub(crate) struct MemberArgs {
    /// Its id.
    pub(crate) id: u64,
    /// Where it is reached by members, TaskManagers and clients; the REST port is 8081 unless stated.
    #[arg(value_name = "HOST:RPC_PORT[:REST_PORT]")]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  millrace config -D taskmanager.numberOfTaskSlots=4")]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Also say what each option means.
    #[arg(long)]
    pub(crate) describe: bool,
}
