//! What a guest writes, as lines for the task's log: cut to length, held to a rate, and counted where dropped.
//!
//! Invariants:
//! - No line is longer than [`LINE_BYTES_MAX`]; no more lines a second pass than the limit.
//! - What was dropped is said: by a line in front of the next one that passes, or at the end.

use std::borrow::Cow;
use std::time::Duration;

use crate::host::{LogLevel, LogSource};

/// The longest line, in bytes; what is behind is cut off.
pub(crate) const LINE_BYTES_MAX: usize = 8 * 1024;

/// A line for the task's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub level: LogLevel,
    pub source: LogSource,
    pub text: String,
}

/// The lines of one instance on their way to the log.
#[derive(Debug)]
pub(crate) struct LogGate {
    lines_per_second_max: u32,
    /// The second that is being counted, since the instance began.
    second: u64,
    passed_in_second: u32,
    dropped: u64,
    ready: Vec<LogLine>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl LogGate {
    pub(crate) fn new(lines_per_second_max: u32) -> Self {
        Self {
            lines_per_second_max,
            second: 0,
            passed_in_second: 0,
            dropped: 0,
            ready: Vec::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// Takes a line. `now` counts from any fixed point and never goes back.
    pub(crate) fn line(&mut self, now: Duration, level: LogLevel, source: LogSource, text: &str) {
        if now.as_secs() != self.second {
            self.second = now.as_secs();
            self.passed_in_second = 0;
        }
        if self.passed_in_second >= self.lines_per_second_max {
            self.dropped += 1;
            return;
        }
        self.passed_in_second += 1;
        self.report_dropped();
        self.ready.push(LogLine { level, source, text: cut(text).into_owned() });
    }

    /// Takes bytes that the guest wrote to its standard output or error; lines end with a line feed.
    pub(crate) fn bytes(&mut self, now: Duration, source: LogSource, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.partial(source, &bytes[..end]);
            self.end_line(now, source);
            bytes = &bytes[end + 1..];
        }
        self.partial(source, bytes);
    }

    /// Ends unfinished lines and says what was dropped.
    pub(crate) fn finish(&mut self, now: Duration) {
        for source in [LogSource::Stdout, LogSource::Stderr] {
            if !self.buffer(source).is_empty() {
                self.end_line(now, source);
            }
        }
        self.report_dropped();
    }

    /// The lines that are to be written now.
    pub(crate) fn take(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.ready)
    }

    fn buffer(&mut self, source: LogSource) -> &mut Vec<u8> {
        if source == LogSource::Stdout { &mut self.stdout } else { &mut self.stderr }
    }

    /// Keeps the part of a line that will be shown, and one byte more so that the cut is seen.
    fn partial(&mut self, source: LogSource, bytes: &[u8]) {
        let buffer = self.buffer(source);
        let room = (LINE_BYTES_MAX + 1).saturating_sub(buffer.len());
        buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self, now: Duration, source: LogSource) {
        let bytes = std::mem::take(self.buffer(source));
        let level = if source == LogSource::Stdout { LogLevel::Info } else { LogLevel::Warn };
        let text = String::from_utf8_lossy(&bytes);
        self.line(now, level, source, text.trim_end_matches('\r'));
    }

    fn report_dropped(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let text = format!(
                "{dropped} lines were dropped: the guest writes more than the {} lines a second that its limit allows",
                self.lines_per_second_max
            );
            self.ready.push(LogLine { level: LogLevel::Warn, source: LogSource::Host, text });
        }
    }
}

fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= LINE_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(LINE_BYTES_MAX)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(gate: &mut LogGate) -> Vec<String> {
        gate.take().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn bytes_become_lines_whatever_their_pieces() {
        let mut gate = LogGate::new(100);
        for piece in ["a", "b\nc", "\r\n\nla", "st"] {
            gate.bytes(Duration::ZERO, LogSource::Stdout, piece.as_bytes());
        }
        assert_eq!(texts(&mut gate), ["ab", "c", ""]);
        gate.finish(Duration::ZERO);
        assert_eq!(texts(&mut gate), ["last"]);
    }

    #[test]
    fn a_flood_is_held_to_its_rate_and_counted() {
        let mut gate = LogGate::new(2);
        for i in 0..10 {
            gate.line(Duration::from_millis(i), LogLevel::Info, LogSource::Log, "x");
        }
        assert_eq!(texts(&mut gate), ["x", "x"]);
        gate.line(Duration::from_secs(1), LogLevel::Info, LogSource::Log, "y");
        let lines = texts(&mut gate);
        assert!(lines[0].starts_with("8 lines were dropped"), "{lines:?}");
        assert_eq!(lines[1], "y");
    }

    #[test]
    fn long_lines_are_cut_and_bound_what_is_kept() {
        let mut gate = LogGate::new(10);
        for _ in 0..10 {
            gate.bytes(Duration::ZERO, LogSource::Stderr, &vec![b'x'; LINE_BYTES_MAX]);
        }
        assert!(gate.stderr.len() <= LINE_BYTES_MAX + 1);
        gate.bytes(Duration::ZERO, LogSource::Stderr, b"\n");
        let lines = texts(&mut gate);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].len() <= LINE_BYTES_MAX + '…'.len_utf8() && lines[0].ends_with('…'));
    }
}
