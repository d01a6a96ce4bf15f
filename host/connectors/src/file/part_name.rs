//! The names of part files.
//!
//! Invariants:
//! - A name says which job, sink and subtask wrote the part, in full: what an earlier attempt left behind is found by it
//!   and removed, and nothing else ever is.
//! - The name of a part that a checkpoint covers says which one, and which attempt prepared it. No two parts of a job
//!   have one name, so that no attempt damages or publishes what another one wrote.

use millrace_types::{CheckpointId, JobId, NodeId};

/// The end of the name of a part that is not complete; the attempt's number follows.
const IN_PROGRESS: &str = ".inprogress.";

/// The end of the name of a part that waits for its commit.
const PREPARED: &str = ".prepared";

/// What the names of one sink's parts have in common, and whose they are.
#[derive(Debug, Clone)]
pub struct PartNames {
    /// `part-<job>-<node>-`
    stem: String,
    suffix: String,
    subtask: u32,
    attempt: u32,
}

/// What the name of a part says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// An attempt was writing it.
    InProgress { subtask: u32, attempt: u32 },
    /// Published at the end of a sink.
    Ended { subtask: u32 },
    /// Prepared for a checkpoint, or published with it.
    Covered { subtask: u32, checkpoint: u64, attempt: u32 },
}

impl PartNames {
    pub fn new(prefix: &str, suffix: &str, job: JobId, node: NodeId, subtask: u32, attempt: u32) -> Self {
        Self { stem: format!("{prefix}-{job}-{node}-"), suffix: suffix.to_owned(), subtask, attempt }
    }

    /// The name of a part that becomes visible at the end of the sink.
    pub fn ended(&self, number: u64) -> String {
        format!("{}{}-{number}{}", self.stem, self.subtask, self.suffix)
    }

    /// The name of a part that becomes visible with a checkpoint.
    pub fn covered(&self, checkpoint: CheckpointId, number: u64) -> String {
        format!("{}{}-{checkpoint}-{}-{number}{}", self.stem, self.subtask, self.attempt, self.suffix)
    }

    /// The name of a part that is being written: hidden, so that nobody reads it by mistake.
    pub fn in_progress(&self, number: u64) -> String {
        format!(".{}{IN_PROGRESS}{}", self.ended(number), self.attempt)
    }

    /// The name of a part that waits for its commit, by its name thereafter.
    pub fn prepared(complete: &str) -> String {
        format!(".{complete}{PREPARED}")
    }

    /// What a name says, if it is one of this sink in this job.
    fn parse(&self, name: &str) -> Option<Part> {
        // No prefix begins with a dot.
        let (complete, hidden) = match name.strip_prefix('.') {
            None => (name, None),
            Some(name) => match name.strip_suffix(PREPARED) {
                Some(complete) => (complete, Some(PREPARED)),
                None => {
                    let (complete, attempt) = name.rsplit_once(IN_PROGRESS)?;
                    (complete, Some(attempt))
                }
            },
        };
        let numbers = complete.strip_prefix(&self.stem)?.strip_suffix(&self.suffix)?;
        let numbers: Vec<u64> = numbers.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
        let small = |number: u64| u32::try_from(number).ok();
        match (numbers.as_slice(), hidden) {
            (&[subtask, _number], None) => Some(Part::Ended { subtask: small(subtask)? }),
            (&[subtask, checkpoint, attempt, _number], None | Some(PREPARED)) => {
                Some(Part::Covered { subtask: small(subtask)?, checkpoint, attempt: small(attempt)? })
            }
            (&[subtask, _number], Some(attempt)) => {
                Some(Part::InProgress { subtask: small(subtask)?, attempt: attempt.parse().ok()? })
            }
            _ => None,
        }
    }

    /// Whether a new attempt of this subtask, which goes on from that checkpoint, has to remove the file: what the
    /// subtask left behind and the checkpoint does not cover; and, for the first subtask, what was left behind by those
    /// that there are no longer.
    ///
    /// An attempt that was overtaken by a later one leaves that one's parts alone. What the checkpoint covers stays, even
    /// where it still waits for its commit: another subtask may have been told to commit it.
    pub fn is_leftover(&self, name: &str, parallelism: u32, restored: Option<CheckpointId>) -> bool {
        let (subtask, left_over) = match self.parse(name) {
            None => return false,
            Some(Part::Ended { subtask }) => (subtask, true),
            Some(Part::InProgress { subtask, attempt }) => (subtask, attempt <= self.attempt),
            Some(Part::Covered { subtask, checkpoint, attempt }) => {
                let beyond = restored.is_none_or(|restored| checkpoint > restored.0);
                (subtask, beyond && attempt <= self.attempt)
            }
        };
        left_over && (subtask == self.subtask || (self.subtask == 0 && subtask >= parallelism))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(job: u8, node: u32, subtask: u32, attempt: u32) -> PartNames {
        PartNames::new("part", ".txt", JobId::from_bytes([job; 16]), NodeId(node), subtask, attempt)
    }

    #[test]
    fn only_parts_of_the_same_job_sink_and_subtask_are_leftovers() {
        let mine = names(1, 2, 0, 5);
        assert_eq!(mine.ended(3), format!("part-{}-2-0-3.txt", "01".repeat(16)));
        for (name, expected) in [
            (names(1, 2, 0, 0).ended(0), true),
            (names(1, 2, 0, 4).in_progress(17), true),
            (names(1, 2, 0, 6).in_progress(17), false),
            (names(1, 2, 9, 0).ended(0), true),
            (names(1, 2, 1, 0).ended(0), false),
            (names(2, 2, 0, 0).ended(0), false),
            (names(1, 22, 0, 0).ended(0), false),
            (format!("{}x", mine.ended(0)), false),
            (format!("x{}", mine.ended(0)), false),
            (format!(".{}.inprogress.", mine.ended(0)), false),
            (format!(".{}.prepared", mine.ended(0)), false),
            (format!(".{}", mine.ended(0)), false),
            ("part.txt".to_owned(), false),
        ] {
            assert_eq!(mine.is_leftover(&name, 4, None), expected, "{name}");
        }
        assert!(!names(1, 2, 1, 0).is_leftover(&names(1, 2, 9, 0).ended(0), 4, None));
    }

    #[test]
    fn what_the_restored_checkpoint_covers_stays() {
        let mine = names(1, 2, 0, 5);
        assert_eq!(mine.covered(CheckpointId(7), 3), format!("part-{}-2-0-7-5-3.txt", "01".repeat(16)));
        for (subtask, attempt, checkpoint, restored, expected) in [
            (0, 4, 7, Some(7), false),
            (0, 4, 8, Some(7), true),
            (0, 4, 8, None, true),
            (0, 6, 8, Some(7), false),
            (1, 4, 8, Some(7), false),
            (4, 4, 8, Some(7), true),
            (4, 4, 7, Some(7), false),
        ] {
            let complete = names(1, 2, subtask, attempt).covered(CheckpointId(checkpoint), 0);
            for name in [PartNames::prepared(&complete), complete] {
                let found = mine.is_leftover(&name, 4, restored.map(CheckpointId));
                assert_eq!(found, expected, "{name} with {restored:?}");
            }
        }
    }
}
