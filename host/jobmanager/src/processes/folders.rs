//! The folders of workers: one for each, which goes when its process has ended, save for its log.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use millrace_resource_core::WorkerId;

/// Where the logs of workers that have ended are kept, and how many of them.
const LOGS: &str = "logs";
const LOGS_KEPT: usize = 20;

/// How large a worker's log may grow before it begins anew; the one before is kept beside it.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How much of a log's end is looked at for a worker's last words.
const LAST_WORDS_BYTES: u64 = 2_048;

/// How old the folder of a worker without a process is before it counts as left over: another JobManager that shares the
/// place may just be starting one.
const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// The files in a worker's folder.
const LOG: &str = "log";
const LOG_BEFORE: &str = "log.1";
const CONFIGURATION: &str = "millrace.toml";

/// The place of all workers' folders; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    root: PathBuf,
}

/// What a worker finds in its folder.
pub(crate) struct Prepared {
    pub(crate) folder: PathBuf,
    pub(crate) configuration: PathBuf,
    pub(crate) log: File,
}

impl Folders {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root.join(LOGS))?;
        Ok(Self { root: root.canonicalize()? })
    }

    /// An absolute path without symbolic links.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn of(&self, worker: &WorkerId) -> PathBuf {
        self.root.join(&worker.0)
    }

    /// Makes the folder of a new worker.
    pub(crate) fn prepare(&self, worker: &WorkerId, configuration: &str) -> io::Result<Prepared> {
        let folder = self.of(worker);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let file = folder.join(CONFIGURATION);
        fs::write(&file, configuration)?;
        let log = OpenOptions::new().create(true).append(true).open(folder.join(LOG))?;
        Ok(Prepared { folder, configuration: file, log })
    }

    /// The last line of a worker's log.
    pub(crate) fn last_words(&self, worker: &WorkerId) -> String {
        let read = || -> io::Result<String> {
            let mut log = File::open(self.of(worker).join(LOG))?;
            let bytes = log.metadata()?.len();
            log.seek(SeekFrom::Start(bytes.saturating_sub(LAST_WORDS_BYTES)))?;
            let mut end = Vec::new();
            log.take(LAST_WORDS_BYTES).read_to_end(&mut end)?;
            let text = String::from_utf8_lossy(&end);
            Ok(text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned())
        };
        read().unwrap_or_default()
    }

    /// Lets a log that has grown too large begin anew. Its process appends to it, and goes on at the new end.
    pub(crate) fn trim_log(&self, worker: &WorkerId) {
        let folder = self.of(worker);
        trim(&folder.join(LOG), &folder.join(LOG_BEFORE));
    }

    /// Deletes the folder of a worker that has ended, and keeps its log among the last ones.
    pub(crate) fn put_away(&self, worker: &WorkerId) {
        let folder = self.of(worker);
        let kept = self.root.join(LOGS).join(format!("{worker}.log"));
        let moved = fs::rename(folder.join(LOG), kept);
        let deleted = fs::remove_dir_all(&folder);
        if let Err(error) = moved.and(deleted) {
            tracing::warn!(%worker, %error, "the folder of a TaskManager that has ended cannot be put away");
        }
        if let Err(error) = self.forget_old_logs() {
            tracing::warn!(%error, "old logs of TaskManagers cannot be deleted");
        }
    }

    fn forget_old_logs(&self) -> io::Result<()> {
        let mut logs = Vec::new();
        for entry in fs::read_dir(self.root.join(LOGS))? {
            let entry = entry?;
            logs.push((entry.metadata()?.modified()?, entry.path()));
        }
        logs.sort_unstable();
        let surplus = logs.len().saturating_sub(LOGS_KEPT);
        logs.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }

    /// Puts away what workers left that ended while nobody watched.
    pub(crate) fn delete_leftovers(&self, is_running: impl Fn(&WorkerId) -> bool) {
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            let worker = WorkerId(entry.file_name().to_string_lossy().into_owned());
            // The configuration is written last of what does not change any more.
            let written = entry.path().join(CONFIGURATION).metadata().and_then(|found| found.modified());
            let age = written.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            if age.is_ok_and(|age| age >= LEFTOVER_AGE) && !is_running(&worker) {
                self.put_away(&worker);
            }
        }
    }
}

/// Lets a log that has grown too large begin anew, and keeps the one before.
pub(crate) fn trim(log: &Path, before: &Path) {
    if log.metadata().is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
        let trimmed = fs::copy(log, before).and_then(|_| OpenOptions::new().write(true).open(log)?.set_len(0));
        if let Err(error) = trimmed {
            tracing::warn!(log = %log.display(), %error, "the log of a process cannot be trimmed");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn worker(number: usize) -> WorkerId {
        WorkerId(format!("taskmanager-1-{number}"))
    }

    #[test]
    fn a_folder_is_made_once_and_leaves_its_log() {
        let place = tempfile::tempdir().unwrap();
        let folders = Folders::open(&place.path().join("a/b")).unwrap();
        let prepared = folders.prepare(&worker(1), "x = 1").unwrap();
        assert_eq!(fs::read_to_string(prepared.configuration).unwrap(), "x = 1");
        assert!(folders.prepare(&worker(1), "").is_err(), "a name is never used again");
        fs::write(prepared.folder.join(LOG), "one\ntwo\n\n").unwrap();
        assert_eq!(folders.last_words(&worker(1)), "two");
        folders.put_away(&worker(1));
        assert!(!prepared.folder.exists());
        let kept = folders.root().join(LOGS).join("taskmanager-1-1.log");
        assert_eq!(fs::read_to_string(kept).unwrap(), "one\ntwo\n\n");
        assert_eq!(folders.last_words(&worker(1)), "");
    }

    #[test]
    fn only_the_last_logs_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let folders = Folders::open(place.path()).unwrap();
        for number in 0..LOGS_KEPT + 3 {
            folders.prepare(&worker(number), "").unwrap();
            folders.put_away(&worker(number));
        }
        assert_eq!(fs::read_dir(folders.root().join(LOGS)).unwrap().count(), LOGS_KEPT);
    }

    #[test]
    fn leftovers_go_when_they_are_old_enough() {
        let place = tempfile::tempdir().unwrap();
        let folders = Folders::open(place.path()).unwrap();
        let old = SystemTime::now() - LEFTOVER_AGE;
        for number in 1..=3 {
            let prepared = folders.prepare(&worker(number), "").unwrap();
            if number < 3 {
                File::options().write(true).open(prepared.configuration).unwrap().set_modified(old).unwrap();
            }
        }
        folders.delete_leftovers(|found| *found == worker(1));
        let left: Vec<_> = (1..=3).map(|number| folders.root().join(worker(number).0).exists()).collect();
        assert_eq!(left, [true, false, true], "one runs, one is young");
    }

    #[test]
    fn a_log_that_is_too_large_begins_anew() {
        let place = tempfile::tempdir().unwrap();
        let folders = Folders::open(place.path()).unwrap();
        let mut prepared = folders.prepare(&worker(1), "").unwrap();
        prepared.log.set_len(LOG_BYTES_MAX + 1).unwrap();
        folders.trim_log(&worker(1));
        io::Write::write_all(&mut prepared.log, b"more").unwrap();
        assert_eq!(fs::read_to_string(prepared.folder.join(LOG)).unwrap(), "more");
        assert_eq!(prepared.folder.join(LOG_BEFORE).metadata().unwrap().len(), LOG_BYTES_MAX + 1);
    }
}
