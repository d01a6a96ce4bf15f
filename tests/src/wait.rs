//! Waiting for what comes true sooner or later.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::process::{PATIENCE, POLL};

/// Looks until there is something to return; an error of a look ends that.
///
/// # Errors
/// If a look fails, or there is nothing after [`PATIENCE`]: `what` was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(POLL).await;
    }
}
