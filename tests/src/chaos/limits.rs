//! How long things may take before a round counts as stuck.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// For one step: a moment to come, a savepoint to be complete, the job to run again.
pub const STEP_TIME_MAX: Duration = Duration::from_secs(60);

/// For the job to finish after the last fault.
pub const FINISH_TIME_MAX: Duration = Duration::from_secs(120);

/// How often it is looked: often, so that what follows a moment follows it at once.
pub const POLL: Duration = Duration::from_millis(3);

/// Looks until there is something to return, or until the time is over. What fails is looked at again: a JobManager that
/// was killed does not answer.
pub async fn eventually<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let found = look().await;
        if let Ok(Some(found)) = found {
            return Ok(found);
        }
        if Instant::now() > deadline {
            let last = found.err().map_or_else(String::new, |error| format!("; the last answer: {error:#}"));
            return Err(anyhow!("waited {limit:?} for {what}{last}"));
        }
        tokio::time::sleep(POLL).await;
    }
}
