//! The files of the logs, as the writing thread sees them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use millrace_types::{JobId, TenantId};

use super::{LOG_FILE_BYTES_MAX, LOG_JOBS_MAX, LogKey};

/// The most files that are open at a time.
const FILES_OPEN_MAX: usize = 256;

/// The folder of a job's logs.
pub(super) fn job_folder(root: &Path, tenant: &TenantId, job: JobId) -> PathBuf {
    root.join(tenant.as_str()).join(job.to_string())
}

struct LogFile {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file: BufWriter::new(file), bytes })
    }

    fn write(&mut self, line: &str, bytes_max: u64) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > bytes_max {
            self.file.flush()?;
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *self = Self::open(std::mem::take(&mut self.path))?;
        }
        self.bytes += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }
}

/// All log files. A file that cannot be written loses its lines and says so in the process's own log.
pub(super) struct LogFiles {
    root: PathBuf,
    bytes_max: u64,
    jobs_max: usize,
    open: BTreeMap<Arc<LogKey>, LogFile>,
    /// How many tasks of each job run.
    live: BTreeMap<(TenantId, JobId), usize>,
}

impl LogFiles {
    pub(super) fn new(root: PathBuf) -> Self {
        Self::with_limits(root, LOG_FILE_BYTES_MAX, LOG_JOBS_MAX)
    }

    pub(super) fn with_limits(root: PathBuf, bytes_max: u64, jobs_max: usize) -> Self {
        Self { root, bytes_max, jobs_max, open: BTreeMap::new(), live: BTreeMap::new() }
    }

    pub(super) fn open(&mut self, key: &LogKey) {
        let live = self.live.entry((key.tenant.clone(), key.job)).or_default();
        *live += 1;
        if *live == 1 {
            let folder = job_folder(&self.root, &key.tenant, key.job);
            if let Err(error) = fs::create_dir_all(&folder) {
                tracing::warn!(%error, folder = %folder.display(), "the folder of a job's logs cannot be made");
            }
            self.forget_old_jobs();
        }
    }

    pub(super) fn close(&mut self, key: &LogKey) {
        if let Some(mut file) = self.open.remove(key) {
            report(file.file.flush(), &file.path);
        }
        let job = (key.tenant.clone(), key.job);
        if let Some(live) = self.live.get_mut(&job) {
            *live -= 1;
            if *live == 0 {
                self.live.remove(&job);
            }
        }
    }

    pub(super) fn write(&mut self, key: &Arc<LogKey>, line: &str) {
        if !self.open.contains_key(key) {
            if self.open.len() >= FILES_OPEN_MAX {
                self.flush();
                self.open.clear();
            }
            let name = format!("{}-{}.log", key.vertex, key.subtask);
            let path = job_folder(&self.root, &key.tenant, key.job).join(name);
            match LogFile::open(path.clone()) {
                Ok(file) => drop(self.open.insert(Arc::clone(key), file)),
                Err(error) => return report(Err(error), &path),
            }
        }
        let Some(file) = self.open.get_mut(key) else {
            return;
        };
        if let Err(error) = file.write(line, self.bytes_max) {
            report(Err(error), &file.path);
            // What it holds back cannot be written either; the next line opens it anew.
            self.open.remove(key);
        }
    }

    pub(super) fn flush(&mut self) {
        for file in self.open.values_mut() {
            report(file.file.flush(), &file.path);
        }
    }

    /// Removes the logs of the jobs that were written to longest ago, beyond the limit. Jobs that run stay.
    fn forget_old_jobs(&mut self) {
        let mut idle: Vec<(SystemTime, PathBuf)> = Vec::new();
        let mut jobs = 0;
        for tenant in subfolders(&self.root) {
            for job in subfolders(&tenant) {
                jobs += 1;
                let running = self.live.keys().any(|(tenant, id)| job == job_folder(&self.root, tenant, *id));
                if !running {
                    let written = fs::metadata(&job).and_then(|metadata| metadata.modified());
                    idle.push((written.unwrap_or(SystemTime::UNIX_EPOCH), job));
                }
            }
        }
        idle.sort();
        let excess = usize::saturating_sub(jobs, self.jobs_max);
        for (_, folder) in idle.into_iter().take(excess) {
            report(fs::remove_dir_all(&folder), &folder);
        }
    }
}

/// The folders in a folder; none if it cannot be read.
fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_folder).map(|entry| entry.path()).collect()
}

fn report(result: io::Result<()>, path: &Path) {
    if let Err(error) = result {
        tracing::warn!(%error, path = %path.display(), "a task's log cannot be written");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use millrace_types::VertexId;

    fn key(job: u8) -> Arc<LogKey> {
        Arc::new(LogKey {
            tenant: TenantId::default_tenant(),
            job: JobId::from_bytes([job; 16]),
            vertex: VertexId::from_bytes([7; 16]),
            subtask: 0,
        })
    }

    #[test]
    fn a_full_file_becomes_the_older_of_two() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = LogFiles::with_limits(folder.path().to_owned(), 20, 10);
        files.open(&key(1));
        for n in 0..9 {
            files.write(&key(1), &format!("line {n}\n"));
        }
        files.flush();
        let job = job_folder(folder.path(), &key(1).tenant, key(1).job);
        let mut sizes: Vec<_> =
            fs::read_dir(job).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [7, 14], "the last line, and the two before it");
        files.close(&key(1));
        assert!(files.open.is_empty() && files.live.is_empty());
    }

    #[test]
    fn the_oldest_jobs_are_forgotten_but_never_one_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = LogFiles::with_limits(folder.path().to_owned(), 1_000, 2);
        let exists = |job: u8| job_folder(folder.path(), &key(job).tenant, key(job).job).exists();
        let date = |job: u8, seconds: u64| {
            let path = job_folder(folder.path(), &key(job).tenant, key(job).job);
            File::open(path)
                .unwrap()
                .set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
                .unwrap();
        };
        files.open(&key(1));
        date(1, 1);
        for job in 2..4 {
            files.open(&key(job));
            date(job, u64::from(job));
            files.close(&key(job));
        }
        files.open(&key(4));
        assert!(exists(1), "it runs");
        assert!(!exists(2) && !exists(3));
        files.close(&key(1));
        files.open(&key(5));
        assert!(!exists(1) && exists(4) && exists(5));
    }
}
