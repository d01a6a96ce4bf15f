//! Writes the part files of one attempt of a subtask. All its functions block.
//!
//! Invariants:
//! - A part has a hidden name until it is published; then it is on disk in full, and gets its name in one step.
//! - A part is published when a checkpoint that covers it is complete; without checkpoints, when the sink ends, since
//!   nothing earlier promises that the attempt will not run again.
//! - A part that was prepared is left alone until it is published: only the JobMaster knows whether the checkpoint is
//!   complete. Whoever goes on from an earlier checkpoint removes it first.
//! - Neither a failed attempt nor an abandoned one leaves another part behind, as far as the file system permits.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use millrace_types::{CheckpointId, CrashPoints};

use super::part_commit::{PreparedPart, commit_parts, sync_folder};
use super::part_name::PartNames;
use crate::{ConnectorError, FileRoots, RestoredSink};

/// The most parts of one attempt that are not published.
const PARTS_MAX: usize = 100_000;

/// What a writer needs to know of its sink.
pub struct PartSettings {
    pub names: PartNames,
    pub parallelism: u32,
    pub roll_bytes: u64,
    /// Whether parts are published by commits alone.
    pub checkpointed: bool,
    pub crash_points: CrashPoints,
}

/// The part files of one attempt.
pub struct PartWriter {
    roots: FileRoots,
    folder: PathBuf,
    settings: PartSettings,
    /// The part being written, and its length in bytes. Its number is the last one of `written`.
    current: Option<(File, u64)>,
    /// The number of the next part.
    next: u64,
    /// The parts that are neither prepared nor published.
    written: Vec<u64>,
    /// The parts that were prepared and not committed yet.
    prepared: BTreeSet<PreparedPart>,
    /// The parts that were published by an end that did not succeed.
    published: Vec<u64>,
    ended: bool,
}

impl PartWriter {
    /// Prepares the folder, commits what the restored checkpoint had prepared, and removes what earlier attempts left
    /// beyond it. Returns also the committed parts that are gone.
    pub fn open(
        roots: FileRoots,
        path: &str,
        settings: PartSettings,
        restored: Option<RestoredSink>,
    ) -> Result<(Self, Vec<PathBuf>), ConnectorError> {
        let folder = roots.create_folder(path)?;
        let (checkpoint, gone) = match restored {
            None => (None, Vec::new()),
            Some(restored) => {
                let parts: Result<Vec<_>, _> =
                    restored.committables.iter().map(PreparedPart::from_committable).collect();
                (Some(restored.checkpoint), commit_parts(&roots, &parts?, &settings.crash_points)?)
            }
        };
        let list = || ConnectorError::io("list the folder", &folder);
        let is_leftover = |name: &str| settings.names.is_leftover(name, settings.parallelism, checkpoint);
        for entry in folder.read_dir().map_err(list())? {
            let entry = entry.map_err(list())?;
            if entry.file_name().to_str().is_some_and(is_leftover) {
                remove(&entry.path())?;
            }
        }
        let writer = Self {
            roots,
            folder,
            settings,
            current: None,
            next: 0,
            written: Vec::new(),
            prepared: BTreeSet::new(),
            published: Vec::new(),
            ended: false,
        };
        Ok((writer, gone))
    }

    fn in_progress(&self, number: u64) -> PathBuf {
        self.folder.join(self.settings.names.in_progress(number))
    }

    fn check_open(&self) -> Result<(), ConnectorError> {
        if self.ended { Err(ConnectorError::Interrupted) } else { Ok(()) }
    }

    /// Appends whole rows.
    pub fn write(&mut self, rows: &[u8]) -> Result<(), ConnectorError> {
        self.check_open()?;
        if rows.is_empty() {
            return Ok(());
        }
        if self.current.as_ref().is_some_and(|(_, length)| *length >= self.settings.roll_bytes) {
            self.complete_current()?;
        }
        let (mut file, length) = match self.current.take() {
            Some(current) => current,
            None => (self.begin()?, 0),
        };
        let written = file.write_all(rows);
        self.current = Some((file, length + rows.len() as u64));
        written.map_err(ConnectorError::io("write", &self.in_progress(self.next - 1)))
    }

    fn begin(&mut self) -> Result<File, ConnectorError> {
        if self.written.len() + self.prepared.len() >= PARTS_MAX {
            let what = format!("a subtask of the file sink to \"{}\" has too many parts", self.folder.display());
            let remedy = "set \"roll-size\" to more, and see that checkpoints are completed";
            return Err(ConnectorError::Limit { what, limit: PARTS_MAX as u64, remedy });
        }
        let number = self.next;
        self.next += 1;
        self.written.push(number);
        self.roots.create_file(&self.in_progress(number))
    }

    /// Makes sure that the part being written is on disk.
    fn complete_current(&mut self) -> Result<(), ConnectorError> {
        let Some((file, _)) = self.current.take() else { return Ok(()) };
        file.sync_all().map_err(ConnectorError::io("write", &self.in_progress(self.next - 1)))
    }

    /// Makes all parts durable, and names those that are not committed.
    pub fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Vec<Bytes>, ConnectorError> {
        self.check_open()?;
        self.complete_current()?;
        let is_new = !self.written.is_empty();
        while let Some(&number) = self.written.last() {
            let part =
                PreparedPart { folder: self.folder.clone(), complete: self.settings.names.covered(checkpoint, number) };
            let prepared = self.folder.join(PartNames::prepared(&part.complete));
            fs::rename(self.in_progress(number), &prepared).map_err(ConnectorError::io("prepare", &prepared))?;
            self.written.pop();
            self.prepared.insert(part);
        }
        if is_new {
            sync_folder(&self.folder)?;
        }
        self.prepared.iter().map(PreparedPart::to_committable).collect()
    }

    /// Publishes prepared parts.
    pub fn commit(&mut self, committables: &[Bytes]) -> Result<(), ConnectorError> {
        let parts: Vec<_> = committables.iter().map(PreparedPart::from_committable).collect::<Result<_, _>>()?;
        let gone = commit_parts(&self.roots, &parts, &self.settings.crash_points)?;
        // What this attempt did not prepare, or has committed before, may have been moved away by whoever reads it.
        let own = |path: &&PathBuf| self.prepared.iter().any(|part| self.folder.join(&part.complete) == **path);
        if let Some(path) = gone.iter().find(own) {
            return Err(ConnectorError::PreparedLost { path: path.display().to_string() });
        }
        for part in &parts {
            self.prepared.remove(part);
        }
        Ok(())
    }

    /// Makes all parts visible that are not, unless that takes a commit.
    pub fn finish(&mut self) -> Result<(), ConnectorError> {
        self.check_open()?;
        self.complete_current()?;
        let is_new = !self.written.is_empty() || !self.prepared.is_empty();
        if self.settings.checkpointed && is_new {
            return Err(ConnectorError::Uncommitted { path: self.folder.display().to_string() });
        }
        if is_new {
            // What was prepared for savepoints.
            let prepared: Vec<_> = self.prepared.iter().cloned().collect();
            commit_parts(&self.roots, &prepared, &self.settings.crash_points)?;
            self.prepared.clear();
            while let Some(&number) = self.written.last() {
                let complete = self.folder.join(self.settings.names.ended(number));
                fs::rename(self.in_progress(number), &complete).map_err(ConnectorError::io("publish", &complete))?;
                self.written.pop();
                self.published.push(number);
            }
            sync_folder(&self.folder)?;
        }
        self.ended = true;
        Ok(())
    }

    /// Removes all parts of the attempt that are neither prepared nor committed, unless it finished. What cannot be
    /// removed is left to the next attempt.
    pub fn abort(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.current = None;
        let names = &self.settings.names;
        let written = self.written.iter().map(|&number| names.in_progress(number));
        for name in written.chain(self.published.iter().map(|&number| names.ended(number))) {
            let _left_to_the_next_attempt = remove(&self.folder.join(name));
        }
    }
}

#[cfg(test)]
impl PartWriter {
    /// Makes the part being written one on a full disk.
    pub fn replace_file(&mut self, file: File) {
        self.current = self.current.take().map(|(_, length)| (file, length));
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<(), ConnectorError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ConnectorError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
