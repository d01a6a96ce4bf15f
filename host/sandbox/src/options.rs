//! What can be set, with its defaults.

use std::path::PathBuf;
use std::time::Duration;

use millrace_types::SandboxLimits;

use crate::inspect::InspectLimits;

/// The program that compiles: started anew for every component. It has to call [`crate::compile_child_main`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompilerCommand {
    /// The program, usually the running one.
    pub program: PathBuf,
    /// Its arguments, usually a hidden subcommand. What to do is told by the environment.
    pub args: Vec<String>,
}

/// What compiling one component may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Processor time, in seconds.
    pub cpu_seconds_max: u64,
    /// Address space of the compiler's process, in bytes.
    pub address_space_bytes_max: u64,
    /// Time on the wall.
    pub wall_time_max: Duration,
    /// The compiled code, in bytes.
    pub artifact_bytes_max: u64,
    /// Compilers that run at the same time; further components wait.
    pub children_max: usize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            cpu_seconds_max: 120,
            address_space_bytes_max: 4 * 1024 * 1024 * 1024,
            wall_time_max: Duration::from_secs(300),
            artifact_bytes_max: 512 * 1024 * 1024,
            children_max: 2,
        }
    }
}

/// What is kept of what was compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Components kept ready in memory; those in use stay beyond it.
    pub components_max: usize,
    /// Compiled code kept on disk, in bytes.
    pub file_bytes_max: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { components_max: 256, file_bytes_max: 2 * 1024 * 1024 * 1024 }
    }
}

/// What a builder may use and return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderLimits {
    /// Memory, running time and log of the builder's own instance.
    pub sandbox: SandboxLimits,
    /// Nodes of a graph.
    pub nodes_max: usize,
    /// Edges of a graph.
    pub edges_max: usize,
    /// All texts of a graph, in bytes.
    pub text_bytes_max: usize,
    /// Splits of a source.
    pub splits_max: usize,
    /// All splits of a source, in bytes.
    pub split_bytes_max: usize,
}

impl Default for BuilderLimits {
    fn default() -> Self {
        let sandbox =
            SandboxLimits { call_deadline_ms: 5_000, log_lines_per_second_max: 100, ..SandboxLimits::default() };
        Self {
            sandbox,
            nodes_max: 1_000,
            edges_max: 10_000,
            text_bytes_max: 4 * 1024 * 1024,
            splits_max: 100_000,
            split_bytes_max: 16 * 1024 * 1024,
        }
    }
}

/// How a sandbox is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxOptions {
    /// The directory in which the sandbox makes a private one for what it compiles.
    pub cache_dir: PathBuf,
    /// The program that compiles.
    pub compiler: CompilerCommand,
    /// What a component may be.
    pub inspect: InspectLimits,
    /// What compiling may use.
    pub compile: CompileLimits,
    /// What is kept of it.
    pub cache: CacheLimits,
    /// What builders may use.
    pub builder: BuilderLimits,
    /// Instances that exist at the same time, builders included. Each reserves address space, not memory.
    pub instances_max: u32,
    /// The slice of time behind which a running call gives way to others.
    pub slice: Duration,
    /// How long a call may be blocked in WASI functions altogether: a sleep is none of an operator's business, but
    /// some languages' runtimes poll.
    pub blocked_time_max: Duration,
}

impl SandboxOptions {
    /// The defaults, with a cache in `cache_dir` and this compiler.
    pub fn new(cache_dir: impl Into<PathBuf>, compiler: CompilerCommand) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            compiler,
            inspect: InspectLimits::default(),
            compile: CompileLimits::default(),
            cache: CacheLimits::default(),
            builder: BuilderLimits::default(),
            instances_max: 1_000,
            slice: Duration::from_millis(1),
            blocked_time_max: Duration::from_secs(10),
        }
    }
}
