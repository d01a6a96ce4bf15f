//! The names of part files.
//!
//! Invariant: a name says which job, sink and subtask wrote the part, in full: what an earlier attempt left behind is
//! found by it and removed, and nothing else ever is.

use millrace_types::{JobId, NodeId};

/// What the names of one sink's parts have in common, and whose they are.
#[derive(Debug, Clone)]
pub struct PartNames {
    /// `part-<job>-<node>-`
    stem: String,
    suffix: String,
    subtask: u32,
    attempt: u32,
}

/// The end of the name of a part that is not complete; the attempt's number follows, so that no attempt completes the
/// part of another.
const IN_PROGRESS: &str = ".inprogress.";

impl PartNames {
    pub fn new(prefix: &str, suffix: &str, job: JobId, node: NodeId, subtask: u32, attempt: u32) -> Self {
        Self { stem: format!("{prefix}-{job}-{node}-"), suffix: suffix.to_owned(), subtask, attempt }
    }

    /// The name of a complete part.
    pub fn complete(&self, number: u32) -> String {
        format!("{}{}-{number}{}", self.stem, self.subtask, self.suffix)
    }

    /// The name of a part that is being written: hidden, so that nobody reads it by mistake.
    pub fn in_progress(&self, number: u32) -> String {
        format!(".{}{IN_PROGRESS}{}", self.complete(number), self.attempt)
    }

    /// The subtask that wrote the part of this name, complete or not, if it is one of this sink in this job.
    fn subtask_of(&self, name: &str) -> Option<u32> {
        let complete = match name.strip_prefix('.') {
            None => name,
            Some(hidden) => {
                let (complete, attempt) = hidden.rsplit_once(IN_PROGRESS)?;
                attempt.parse::<u32>().ok()?;
                complete
            }
        };
        let numbers = complete.strip_prefix(&self.stem)?.strip_suffix(&self.suffix)?;
        let (subtask, number) = numbers.split_once('-')?;
        number.parse::<u32>().ok()?;
        subtask.parse().ok()
    }

    /// Whether a new attempt of this subtask has to remove the file: what the subtask left behind, and, for the first
    /// subtask, what was left behind by those that there are no longer.
    pub fn is_leftover(&self, name: &str, parallelism: u32) -> bool {
        let Some(subtask) = self.subtask_of(name) else { return false };
        subtask == self.subtask || (self.subtask == 0 && subtask >= parallelism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_the_same_job_sink_and_subtask_are_leftovers() {
        let names = |job: u8, node, subtask, attempt| {
            PartNames::new("part", ".txt", JobId::from_bytes([job; 16]), NodeId(node), subtask, attempt)
        };
        let mine = names(1, 2, 0, 5);
        assert_eq!(mine.complete(3), format!("part-{}-2-0-3.txt", "01".repeat(16)));
        for (name, expected) in [
            (names(1, 2, 0, 0).complete(0), true),
            (names(1, 2, 0, 4).in_progress(17), true),
            (names(1, 2, 9, 0).complete(0), true),
            (names(1, 2, 1, 0).complete(0), false),
            (names(2, 2, 0, 0).complete(0), false),
            (names(1, 22, 0, 0).complete(0), false),
            (format!("{}x", mine.complete(0)), false),
            (format!("x{}", mine.complete(0)), false),
            (format!(".{}.inprogress.", mine.complete(0)), false),
            (format!(".{}", mine.complete(0)), false),
            ("part.txt".to_owned(), false),
        ] {
            assert_eq!(mine.is_leftover(&name, 4), expected, "{name}");
        }
        assert!(!names(1, 2, 1, 0).is_leftover(&names(1, 2, 9, 0).complete(0), 4));
    }
}
