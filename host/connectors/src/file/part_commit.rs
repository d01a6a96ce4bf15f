//! Commits prepared parts, whoever prepared them. All its functions block.
//!
//! Invariant: committing renames a part from the name that it was prepared under to the one that stands beside it, and
//! nothing else: doing it again, or at the same time as another attempt, changes nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use millrace_types::{CrashPoint, CrashPoints};
use serde::{Deserialize, Serialize};

use super::part_name::PartNames;
use crate::{ConnectorError, FileRoots};

/// A part that waits for its commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PreparedPart {
    /// The folder, canonical.
    pub folder: PathBuf,
    /// The name that it gets.
    pub complete: String,
}

/// How a part stands in a checkpoint.
#[derive(Serialize, Deserialize)]
enum Committable {
    V1 { folder: String, complete: String },
}

impl PreparedPart {
    /// The bytes for the checkpoint.
    pub fn to_committable(&self) -> Result<Bytes, ConnectorError> {
        let folder = self.folder.to_str().ok_or_else(|| ConnectorError::Path {
            path: self.folder.display().to_string(),
            reason: "a folder whose output is part of checkpoints needs a name in UTF-8".to_owned(),
        })?;
        let committable = Committable::V1 { folder: folder.to_owned(), complete: self.complete.clone() };
        postcard::to_stdvec(&committable).map(Bytes::from).map_err(|_| bad_committable())
    }

    /// Reads what a checkpoint says. It may have been handed over by a user.
    pub fn from_committable(bytes: &Bytes) -> Result<Self, ConnectorError> {
        let Committable::V1 { folder, complete } = postcard::from_bytes(bytes).map_err(|_| bad_committable())?;
        if complete.is_empty() || complete.starts_with('.') || complete.contains(['/', '\0']) {
            return Err(bad_committable());
        }
        Ok(Self { folder: folder.into(), complete })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.complete)
    }
}

fn bad_committable() -> ConnectorError {
    ConnectorError::BadCommittable { connector: "file" }
}

/// Gives the parts their names, durably. Returns those that are under neither name: they were published before and moved
/// away since, or removed.
pub fn commit_parts(
    roots: &FileRoots,
    parts: &[PreparedPart],
    crash_points: &CrashPoints,
) -> Result<Vec<PathBuf>, ConnectorError> {
    let mut gone = Vec::new();
    let mut folders = BTreeSet::new();
    for part in parts {
        let folder = roots.resolve_path(&part.folder)?;
        let complete = part.path();
        match fs::rename(folder.join(PartNames::prepared(&part.complete)), folder.join(&part.complete)) {
            Ok(()) => crash_points.pass(CrashPoint::Renamed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !complete.try_exists().map_err(ConnectorError::io("find", &complete))? {
                    gone.push(complete);
                    continue;
                }
            }
            Err(error) => return Err(ConnectorError::io("publish", &complete)(error)),
        }
        // Also where another attempt renamed it: that one may have died before the name was durable.
        folders.insert(folder);
    }
    folders.iter().try_for_each(|folder| sync_folder(folder))?;
    Ok(gone)
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<(), ConnectorError> {
    let sync = File::open(folder).and_then(|folder| folder.sync_all());
    sync.map_err(ConnectorError::io("write the folder", folder))
}
