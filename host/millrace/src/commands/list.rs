//! `millrace list`: the jobs, or the bundles, of a cluster.

use anyhow::Result;

use crate::cli::List;
use crate::commands::{client, print_json};
use crate::progress::{println_stdout, span};

pub(crate) async fn run(options: List) -> Result<()> {
    let client = client(&options.cluster)?;
    if options.bundles {
        let bundles = client.bundles().await?;
        if options.cluster.json {
            return print_json(&bundles);
        }
        for bundle in &bundles.files {
            println_stdout(&format!("{:<24} {}", bundle.name, bundle.id));
        }
        if bundles.files.is_empty() {
            println_stdout("No bundles. `millrace run BUNDLE` uploads one.");
        }
        return Ok(());
    }
    let mut jobs = client.jobs().await?;
    if !options.all {
        jobs.jobs.retain(|job| !job.state.is_terminal());
    }
    if options.cluster.json {
        return print_json(&jobs);
    }
    if jobs.jobs.is_empty() {
        let hint = if options.all { "" } else { " `millrace list -a` shows those that ended, too." };
        println_stdout(&format!("No jobs.{hint}"));
    }
    for job in &jobs.jobs {
        let tasks = format!("{}/{} tasks", job.tasks.running, job.tasks.total);
        println_stdout(&format!("{}  {:<12} {tasks:<14} {:<14} {}", job.jid, job.state, span(job.duration), job.name));
    }
    Ok(())
}
