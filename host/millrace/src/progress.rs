//! The progress line of long work: on a terminal only, and on standard error, so that output can be piped.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use millrace_client::api::JobDetails;
use millrace_types::format_bytes;

/// How often the line moves.
const TICK: Duration = Duration::from_millis(100);

/// A line that says what is being done.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A line, hidden if nobody would see it.
    pub(crate) fn new(hidden: bool) -> Self {
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Says what is being done.
    pub(crate) fn say(&self, text: impl Into<String>) {
        self.0.set_message(text.into());
    }

    /// Prints a line of output above the progress line.
    pub(crate) fn output(&self, line: &str) {
        self.0.suspend(|| println_stdout(line));
    }

    /// Takes the line away.
    pub(crate) fn done(&self) {
        self.0.finish_and_clear();
    }
}

/// The one place that prints to standard output. A closed pipe is no error: the reader has seen enough.
pub(crate) fn println_stdout(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A job's state in one line: `RUNNING 2/2 tasks · 1,204,331 records · 68.2 MiB`.
pub(crate) fn job_line(job: &JobDetails) -> String {
    use millrace_types::ExecutionState::{Finished, Running};
    let count = |state| job.vertices.iter().filter_map(|vertex| vertex.tasks.get(&state)).sum::<u32>();
    let total: u32 = job.vertices.iter().map(|vertex| vertex.parallelism).sum();
    let records: u64 = job.vertices.iter().map(|vertex| vertex.metrics.write_records).sum();
    let bytes: u64 = job.vertices.iter().map(|vertex| vertex.metrics.write_bytes).sum();
    let mut line = format!("{} · {} of {total} tasks run, {} finished", job.state, count(Running), count(Finished));
    if records > 0 {
        line.push_str(&format!(" · {} records, {} exchanged", grouped(records), format_bytes(bytes)));
    }
    if let Some(waiting) = &job.waiting_for {
        line.push_str(&format!(" · {waiting}"));
    }
    line
}

/// A number with its thousands set apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A span of time for people.
pub(crate) fn span(ms: i64) -> String {
    match ms {
        ..0 => "-".to_owned(),
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_read_well() {
        assert_eq!((grouped(0), grouped(1_234_567)), ("0".to_owned(), "1,234,567".to_owned()));
        assert_eq!((span(12), span(1_250), span(61_000)), ("12 ms".into(), "1.2 s".into(), "1 min 1 s".into()));
    }
}
