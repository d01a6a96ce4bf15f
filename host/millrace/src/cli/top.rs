//! The arguments of `millrace top`.

use clap::Args;

use super::ClusterArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millrace top                       watch the cluster of this machine
  millrace top 5d1c0c3b              with this job selected
  millrace top --once                print what it shows, and end")]
pub(crate) struct Top {
    /// The job to select, by its id or its first characters; the newest that runs unless stated.
    pub(crate) job: Option<String>,
    /// Print what there is to see and end, as it also does where no terminal is.
    #[arg(long)]
    pub(crate) once: bool,
    /// Show jobs that have ended, too.
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}
