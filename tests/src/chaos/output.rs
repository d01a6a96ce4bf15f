//! What readers see of the output while a job runs: nothing of it may be taken back.
//!
//! Rows that were visible too early leave no trace behind: an attempt that goes on from an earlier checkpoint removes them,
//! and writes them anew. So it is looked at the folder again and again.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The folder of a job's rows, and the files that were ever visible in it.
#[derive(Debug)]
pub struct Output {
    folder: PathBuf,
    seen: BTreeSet<PathBuf>,
}

impl Output {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, seen: BTreeSet::new() }
    }

    /// Notes what is visible now.
    pub fn look(&mut self) -> Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            // The first sink makes it.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.with_context(|| self.folder.display().to_string())?,
        };
        for entry in entries {
            let path = entry?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if !hidden {
                self.seen.insert(path);
            }
        }
        Ok(())
    }

    /// Checks that everything that was ever visible still is.
    pub fn check(&self) -> Result<()> {
        let gone: Vec<_> = self.seen.iter().filter(|path| !path.exists()).collect();
        ensure!(
            gone.is_empty(),
            "{} of {} files were visible before a checkpoint that covers them was complete, such as {}",
            gone.len(),
            self.seen.len(),
            gone[0].display()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_file_that_is_taken_back_is_named_and_a_hidden_one_is_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::new(folder.path().join("rows"));
        output.look().unwrap();
        fs::create_dir(folder.path().join("rows")).unwrap();
        for name in [".hidden", "kept", "taken"] {
            fs::write(folder.path().join("rows").join(name), "").unwrap();
        }
        output.look().unwrap();
        fs::remove_file(folder.path().join("rows/.hidden")).unwrap();
        output.check().unwrap();
        fs::remove_file(folder.path().join("rows/taken")).unwrap();
        let error = output.check().unwrap_err().to_string();
        assert!(error.contains("1 of 2") && error.contains("rows/taken"), "{error}");
    }
}
