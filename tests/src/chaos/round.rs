//! One round, from its plan to the comparison of what was committed.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::job::Job;
use super::limits::FINISH_TIME_MAX;
use super::plan::{EVENTS_PER_SECOND, Plan};
use crate::checkpoints::Figures;
use crate::expected::{self, Expected};

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    /// Rows that are equal to the reference.
    pub rows: usize,
    /// How the last run's checkpoints fared.
    pub figures: Figures,
    /// How many of the faults came before the job's end.
    pub faults: usize,
    /// How long all took, in seconds.
    pub seconds: f64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, faults, seconds, figures } = self;
        let Figures { completed, failed, restored, .. } = figures;
        write!(
            f,
            "{rows} rows are exact after {faults} faults in {seconds:.1} s; of the last run's checkpoints {completed} \
             are complete, {failed} failed, {restored} were restored"
        )
    }
}

/// Runs a plan with everything below a folder; `say` hears what happens when.
pub async fn run(plan: &Plan, folder: &Path, say: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let job = &plan.job;
    let expected = Expected::of(job.query, job.records, EVENTS_PER_SECOND)?;
    let began = Instant::now();
    let mut say = |text: &str| say(&format!("{:>7.2} s  {text}", began.elapsed().as_secs_f64()));
    let mut job = Job::start(job, folder).await?;
    say("the job is submitted");
    let mut faults = 0;
    for fault in &plan.faults {
        let happened = match job.reach(fault.when).await.with_context(|| fault.to_string())? {
            true => job.suffer(fault.harm).await.with_context(|| fault.to_string())?,
            false => false,
        };
        if !happened {
            say("the job was over before the next fault");
            break;
        }
        faults += 1;
        say(&fault.to_string());
    }
    job.finished(FINISH_TIME_MAX).await?;
    say("the job has finished");
    job.check_output()?;
    let rows = expected.compare(expected::committed_rows(Path::new(&job.output()))?)?;
    Ok(Outcome { rows, figures: job.figures().await?, faults, seconds: began.elapsed().as_secs_f64() })
}
