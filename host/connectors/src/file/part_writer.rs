//! Writes the part files of one attempt of a subtask. All its functions block.
//!
//! Invariants:
//! - A part has a hidden name until the sink finishes; then it is on disk in full, and gets its name in one step.
//! - All parts of an attempt become visible together, at its end, since nothing earlier promises that the attempt will
//!   not run again. An attempt begins by removing what earlier ones left behind, visible or not.
//! - Neither a failed attempt nor an abandoned one leaves a part behind, as far as the file system permits.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::part_name::PartNames;
use crate::{ConnectorError, FileRoots};

/// The most parts of one attempt.
const PARTS_MAX: u32 = 100_000;

/// The part files of one attempt.
pub struct PartWriter {
    roots: FileRoots,
    folder: PathBuf,
    names: PartNames,
    roll_bytes: u64,
    /// The part being written, and its length in bytes.
    current: Option<(File, u64)>,
    /// How many parts were begun.
    begun: u32,
    /// How many of them, the first ones, have their names.
    published: u32,
    ended: bool,
}

impl PartWriter {
    /// Prepares the folder and removes what earlier attempts left there.
    pub fn open(
        roots: FileRoots,
        path: &str,
        names: PartNames,
        parallelism: u32,
        roll_bytes: u64,
    ) -> Result<Self, ConnectorError> {
        let folder = roots.create_folder(path)?;
        let list = || ConnectorError::io("list the folder", &folder);
        for entry in folder.read_dir().map_err(list())? {
            let entry = entry.map_err(list())?;
            if entry.file_name().to_str().is_some_and(|name| names.is_leftover(name, parallelism)) {
                remove(&entry.path())?;
            }
        }
        Ok(Self { roots, folder, names, roll_bytes, current: None, begun: 0, published: 0, ended: false })
    }

    /// Appends whole rows.
    pub fn write(&mut self, rows: &[u8]) -> Result<(), ConnectorError> {
        if self.ended {
            return Err(ConnectorError::Interrupted);
        }
        if rows.is_empty() {
            return Ok(());
        }
        if self.current.as_ref().is_some_and(|(_, length)| *length >= self.roll_bytes) {
            self.complete_current()?;
        }
        let (file, length) = match self.current.take() {
            Some(current) => current,
            None => (self.begin()?, 0),
        };
        let (file, length) = self.current.insert((file, length));
        let path = self.folder.join(self.names.in_progress(self.begun - 1));
        file.write_all(rows).map_err(ConnectorError::io("write", &path))?;
        *length += rows.len() as u64;
        Ok(())
    }

    fn begin(&mut self) -> Result<File, ConnectorError> {
        if self.begun == PARTS_MAX {
            let what = format!("a subtask of the file sink to \"{}\" has too many parts", self.folder.display());
            let remedy = "set \"roll-size\" to more";
            return Err(ConnectorError::Limit { what, limit: u64::from(PARTS_MAX), remedy });
        }
        let number = self.begun;
        self.begun += 1;
        self.roots.create_file(&self.folder.join(self.names.in_progress(number)))
    }

    /// Makes sure that the part being written is on disk.
    fn complete_current(&mut self) -> Result<(), ConnectorError> {
        let Some((file, _)) = self.current.take() else { return Ok(()) };
        let path = self.folder.join(self.names.in_progress(self.begun - 1));
        file.sync_all().map_err(ConnectorError::io("write", &path))
    }

    /// Makes all parts visible.
    pub fn finish(&mut self) -> Result<(), ConnectorError> {
        if self.ended {
            return Err(ConnectorError::Interrupted);
        }
        self.complete_current()?;
        for number in 0..self.begun {
            let complete = self.folder.join(self.names.complete(number));
            fs::rename(self.folder.join(self.names.in_progress(number)), &complete)
                .map_err(ConnectorError::io("publish", &complete))?;
            self.published = number + 1;
        }
        if self.begun > 0 {
            let sync = File::open(&self.folder).and_then(|folder| folder.sync_all());
            sync.map_err(ConnectorError::io("write the folder", &self.folder))?;
        }
        self.ended = true;
        Ok(())
    }

    /// Removes all parts of the attempt, unless it finished. What cannot be removed is left to the next attempt.
    pub fn abort(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.current = None;
        for number in 0..self.begun {
            let name =
                if number < self.published { self.names.complete(number) } else { self.names.in_progress(number) };
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
