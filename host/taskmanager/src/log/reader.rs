//! Reading logs: the newest lines of several files, merged by time. Does blocking IO.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use millrace_protocol::LogRequest;

/// What is read of all files together, in bytes, apart from [`FILE_BYTES_MIN`] of each.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is read of a file at least, in bytes.
const FILE_BYTES_MIN: usize = 4 * 1024;

/// The newest lines of a job's logs; empty if there are none.
pub(super) fn read(folder: &Path, wanted: &LogRequest) -> String {
    let bytes_max = usize::try_from(wanted.bytes_max).unwrap_or(usize::MAX);
    let current = log_files(folder, wanted);
    let share = READ_BYTES_MAX / current.len().max(1);
    let share = bytes_max.min(share.max(FILE_BYTES_MIN));
    let mut entries: Vec<String> = current.iter().flat_map(|path| newest_entries(path, share)).collect();
    // An entry begins with its time, whose text sorts as it does; entries of one moment keep their order.
    entries.sort_by(|a, b| time_of(a).cmp(time_of(b)));
    let mut chosen = VecDeque::new();
    let mut bytes = 0;
    for entry in entries.into_iter().rev() {
        bytes += entry.len();
        if bytes > bytes_max && !chosen.is_empty() {
            break;
        }
        chosen.push_front(entry);
    }
    chosen.into_iter().collect()
}

fn time_of(entry: &str) -> &str {
    entry.split(' ').next().unwrap_or_default()
}

/// The files of the tasks that are wanted: `<vertex>-<subtask>.log`.
fn log_files(folder: &Path, wanted: &LogRequest) -> Vec<PathBuf> {
    let prefix = wanted.vertex.map(|vertex| format!("{vertex}-")).unwrap_or_default();
    let suffix = wanted.subtask.map_or_else(|| ".log".to_owned(), |subtask| format!("-{subtask}.log"));
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(&prefix) && name.ends_with(&suffix)
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_wanted).collect();
    files.sort();
    files
}

/// The entries at the end of a log, its older file included. One that is cut off at its beginning is left out.
fn newest_entries(path: &Path, bytes_max: usize) -> Vec<String> {
    let mut text = tail(path, bytes_max).unwrap_or_default();
    if text.len() < bytes_max {
        let mut older = tail(&path.with_extension("log.1"), bytes_max - text.len()).unwrap_or_default();
        older.push_str(&text);
        text = older;
    }
    let mut entries: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match entries.last_mut() {
            Some(entry) if line.starts_with('\t') => entry.push_str(line),
            _ => entries.push(line.to_owned()),
        }
    }
    entries
}

/// Whole lines from the end of a file.
fn tail(path: &Path, bytes_max: usize) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let skip = len.saturating_sub(bytes_max as u64);
    file.seek(SeekFrom::Start(skip))?;
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    if skip > 0 {
        let first_end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        bytes.drain(..first_end);
        // Continuations of an entry whose beginning is cut off.
        while bytes.first() == Some(&b'\t') {
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            bytes.drain(..end);
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
