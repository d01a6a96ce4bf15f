//! The folders of checkpoints and savepoints, in memory: files and descriptions, some of which a fault has damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use millrace_job_core::CompletedCheckpoint;
use millrace_protocol::StateBlob;

use crate::rows::{Entries, Row};

/// What a file consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    State(Entries),
    Rows(Vec<Row>),
}

/// All folders.
#[derive(Debug, Default)]
pub(crate) struct Store {
    files: BTreeMap<String, Arc<Content>>,
    /// What travels with acknowledgements: a blob's bytes are its position here.
    inline: Vec<Arc<Content>>,
    descriptions: BTreeMap<Box<str>, Arc<CompletedCheckpoint>>,
    damaged: BTreeSet<String>,
    written: u64,
}

fn within(folder: &str, path: &str) -> String {
    format!("{folder}/{path}")
}

impl Store {
    /// Writes a file under a name that nothing else has.
    pub(crate) fn write(&mut self, folder: &str, prefix: &str, content: Content) -> StateBlob {
        self.written += 1;
        let path = format!("{prefix}-{}", self.written);
        let before = self.files.insert(within(folder, &path), Arc::new(content));
        assert!(before.is_none(), "the file {path} is written twice");
        StateBlob::File { path, bytes: 1, checksum: 0 }
    }

    pub(crate) fn write_inline(&mut self, content: Content) -> StateBlob {
        self.inline.push(Arc::new(content));
        StateBlob::Inline(Bytes::copy_from_slice(&(self.inline.len() as u64 - 1).to_be_bytes()))
    }

    /// Reads a blob. An error is damage that a fault has done, or that it was deleted: nobody needs it but a task that has
    /// been replaced.
    pub(crate) fn read(&self, folder: &str, blob: &StateBlob) -> Result<Arc<Content>, String> {
        match blob {
            StateBlob::Inline(bytes) => {
                let position = bytes.as_ref().try_into().map(u64::from_be_bytes);
                let found = position.ok().and_then(|position| self.inline.get(position as usize));
                Ok(Arc::clone(found.unwrap_or_else(|| panic!("inline state came back as other bytes"))))
            }
            StateBlob::File { path, .. } => {
                let path = within(folder, path);
                if self.damaged.contains(&path) {
                    return Err(format!("{path} is damaged"));
                }
                self.files.get(&path).map(Arc::clone).ok_or_else(|| format!("{path} was deleted"))
            }
        }
    }

    pub(crate) fn has(&self, folder: &str, path: &str) -> bool {
        self.files.contains_key(&within(folder, path))
    }

    pub(crate) fn delete(&mut self, folder: &str, path: &str) {
        self.files.remove(&within(folder, path));
    }

    /// Deletes a folder with all that is in it.
    pub(crate) fn delete_folder(&mut self, folder: &str) {
        let inside = format!("{folder}/");
        self.files.retain(|path, _| !path.starts_with(&inside));
        self.descriptions.retain(|location, _| **location != *folder && !location.starts_with(&inside));
    }

    pub(crate) fn describe(&mut self, location: &str, checkpoint: Arc<CompletedCheckpoint>) {
        self.descriptions.insert(location.into(), checkpoint);
    }

    /// Reads a checkpoint's description; `None`: it is damaged. One that is missing was deleted though it is needed.
    pub(crate) fn description(&self, location: &str) -> Option<Arc<CompletedCheckpoint>> {
        if self.damaged.contains(location) {
            return None;
        }
        let found = self.descriptions.get(location);
        Some(Arc::clone(found.unwrap_or_else(|| panic!("the description {location} is needed and was deleted"))))
    }

    pub(crate) fn has_description(&self, location: &str) -> bool {
        self.descriptions.contains_key(location)
    }

    pub(crate) fn damage_description(&mut self, location: &str) {
        self.damaged.insert(location.to_owned());
    }

    pub(crate) fn damage(&mut self, folder: &str, path: &str) {
        self.damaged.insert(within(folder, path));
    }
}
