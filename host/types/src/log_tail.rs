//! The newest lines of a process's log, in memory: what REST shows where there is no file.
//!
//! Invariant: at most [`LOG_TAIL_BYTES_MAX`] are held, and a line that is longer than that is cut off.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Timestamp;

/// What is held of a process's log, in bytes.
pub const LOG_TAIL_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Default)]
struct Held {
    lines: VecDeque<String>,
    bytes: usize,
    /// When the last line was written.
    at: Timestamp,
}

/// The end of a process's log; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LogTail(Arc<Mutex<Held>>);

impl LogTail {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line with its end.
    pub fn push(&self, line: &[u8], now: Timestamp) {
        let mut line = String::from_utf8_lossy(line).into_owned();
        line.truncate(line.floor_char_boundary(LOG_TAIL_BYTES_MAX));
        let mut held = self.lock();
        held.at = now;
        held.bytes += line.len();
        held.lines.push_back(line);
        while held.bytes > LOG_TAIL_BYTES_MAX
            && let Some(oldest) = held.lines.pop_front()
        {
            held.bytes -= oldest.len();
        }
    }

    /// The newest lines, of at most so many bytes.
    pub fn newest(&self, bytes_max: usize) -> String {
        let held = self.lock();
        let mut bytes = 0;
        let fits = held.lines.iter().rev().take_while(|line| {
            bytes += line.len();
            bytes <= bytes_max
        });
        let first = held.lines.len() - fits.count();
        held.lines.iter().skip(first).map(String::as_str).collect()
    }

    /// How many bytes are held, and when the last line was written.
    pub fn size(&self) -> (usize, Timestamp) {
        let held = self.lock();
        (held.bytes, held.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_stay() {
        let tail = LogTail::default();
        tail.push(b"one\n", Timestamp(1));
        tail.push(b"two\n", Timestamp(2));
        assert_eq!(
            (tail.newest(100), tail.newest(7), tail.size()),
            ("one\ntwo\n".into(), "two\n".into(), (8, Timestamp(2)))
        );
        tail.push("x".repeat(LOG_TAIL_BYTES_MAX - 4).as_bytes(), Timestamp(3));
        assert!(tail.newest(LOG_TAIL_BYTES_MAX).starts_with("two\nx"));
        tail.push("y".repeat(2 * LOG_TAIL_BYTES_MAX).as_bytes(), Timestamp(4));
        assert_eq!((tail.size().0, tail.newest(LOG_TAIL_BYTES_MAX).len()), (LOG_TAIL_BYTES_MAX, LOG_TAIL_BYTES_MAX));
    }
}
