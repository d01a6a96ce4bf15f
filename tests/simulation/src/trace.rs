//! What happened, line by line, for a seed that is looked at.

use std::sync::{Arc, Mutex, PoisonError};

/// The lines that are kept: the newest.
const LINES_MAX: usize = 20_000;

/// Takes lines, or drops them where nobody looks: then they are not even written. A clone is the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace(Option<Arc<Mutex<Vec<String>>>>);

impl Trace {
    pub(crate) fn on() -> Self {
        Self(Some(Arc::default()))
    }

    pub(crate) fn line(&self, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.0 {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() >= 2 * LINES_MAX {
                lines.drain(..LINES_MAX);
            }
            lines.push(line());
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let Some(lines) = &self.0 else { return Vec::new() };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let from = lines.len().saturating_sub(LINES_MAX);
        lines.drain(..from);
        lines.clone()
    }
}
