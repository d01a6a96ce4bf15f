//! Points at which a process can be told to die, so that tests see what a death exactly there leaves behind.
//!
//! Invariants:
//! - A process dies nowhere unless its own command line names a point (`docs/decisions/022-crash-points.md`): what a tenant
//!   uploads, the configuration and the environment cannot.
//! - To pass a point costs a comparison where none is named.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use thiserror::Error;

/// A point in the life of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// A task's part of a checkpoint is durable, what its sinks prepared included, and not acknowledged.
    Prepared,
    /// It is acknowledged.
    Acknowledged,
    /// A sink with something to commit has heard that its checkpoint is complete.
    Completed,
    /// A sink has given one of its prepared files its name, and neither the next one nor that name is durable.
    Renamed,
    /// A sink has committed.
    Committed,
    /// A checkpoint's description is durable, and no pointer leads to it.
    Described,
    /// Its pointer is durable, and no task knows.
    Pointed,
    /// A task has been told that a checkpoint is complete, and others have not.
    Told,
}

impl CrashPoint {
    /// Those that a TaskManager passes.
    pub const OF_TASK_MANAGERS: [Self; 5] =
        [Self::Prepared, Self::Acknowledged, Self::Completed, Self::Renamed, Self::Committed];

    /// Those that a JobManager passes.
    pub const OF_JOB_MANAGERS: [Self; 3] = [Self::Described, Self::Pointed, Self::Told];

    fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Acknowledged => "acknowledged",
            Self::Completed => "completed",
            Self::Renamed => "renamed",
            Self::Committed => "committed",
            Self::Described => "described",
            Self::Pointed => "pointed",
            Self::Told => "told",
        }
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A point, and how often it is passed: the process dies the last time. Written `POINT:PASSES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashAt {
    /// The point.
    pub point: CrashPoint,
    /// From 1.
    pub passes: u32,
}

impl fmt::Display for CrashAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.point, self.passes)
    }
}

/// A text that names no point.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is not POINT:PASSES with a point of {names} and passes from 1", names = names())]
pub struct CrashAtError(String);

fn names() -> String {
    let all = CrashPoint::OF_TASK_MANAGERS.iter().chain(&CrashPoint::OF_JOB_MANAGERS);
    all.map(|point| point.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for CrashAt {
    type Err = CrashAtError;

    fn from_str(text: &str) -> Result<Self, CrashAtError> {
        let parsed = text.split_once(':').and_then(|(name, passes)| {
            let mut all = CrashPoint::OF_TASK_MANAGERS.into_iter().chain(CrashPoint::OF_JOB_MANAGERS);
            let point = all.find(|point| point.name() == name)?;
            let passes = passes.parse().ok().filter(|passes| *passes > 0)?;
            Some(Self { point, passes })
        });
        parsed.ok_or_else(|| CrashAtError(text.to_owned()))
    }
}

/// Where this process is to die; by default nowhere. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct CrashPoints(Option<Arc<Armed>>);

#[derive(Debug)]
struct Armed {
    point: CrashPoint,
    /// How often it is passed yet.
    left: AtomicU32,
    die: fn(),
}

impl CrashPoints {
    /// How long a process that dies behind a message stays alive, so that the message leaves it.
    pub const LINGER: Duration = Duration::from_millis(10);

    /// The process dies at a point, by this function.
    pub fn armed(at: CrashAt, die: fn()) -> Self {
        Self(Some(Arc::new(Armed { point: at.point, left: AtomicU32::new(at.passes), die })))
    }

    /// Passes a point, and may die there.
    pub fn pass(&self, point: CrashPoint) {
        if self.is_due(point) {
            self.die();
        }
    }

    /// Passes a point. Returns whether [`Self::die`] is to be called, once, by whoever has to do something before.
    pub fn is_due(&self, point: CrashPoint) -> bool {
        self.0.as_ref().is_some_and(|armed| armed.point == point && armed.left.fetch_sub(1, Ordering::Relaxed) == 1)
    }

    /// Dies.
    pub fn die(&self) {
        if let Some(armed) = &self.0 {
            (armed.die)();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_point_is_read_as_it_is_written() {
        for point in CrashPoint::OF_TASK_MANAGERS.into_iter().chain(CrashPoint::OF_JOB_MANAGERS) {
            let at = CrashAt { point, passes: 3 };
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        for text in ["", "renamed", "renamed:", "renamed:0", "renamed:-1", "Renamed:1", "else:1"] {
            let error = text.parse::<CrashAt>().unwrap_err().to_string();
            assert!(error.contains("acknowledged") && error.contains("told"), "{error}");
        }
    }

    #[test]
    fn a_process_dies_once_at_its_point_and_at_no_other() {
        static DEATHS: AtomicU32 = AtomicU32::new(0);
        let points = CrashPoints::armed("renamed:3".parse().unwrap(), || {
            DEATHS.fetch_add(1, Ordering::Relaxed);
        });
        let deaths = |point| {
            points.clone().pass(point);
            DEATHS.load(Ordering::Relaxed)
        };
        assert_eq!([CrashPoint::Renamed, CrashPoint::Committed, CrashPoint::Renamed].map(deaths), [0; 3]);
        assert_eq!([CrashPoint::Renamed, CrashPoint::Renamed].map(deaths), [1; 2]);
        CrashPoints::default().pass(CrashPoint::Renamed);
        assert_eq!(DEATHS.load(Ordering::Relaxed), 1);
    }
}
