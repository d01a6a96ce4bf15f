//! The machine's table of processes, as far as workers stand in it.
//!
//! A worker's process is the leader of its group, is called `… taskmanager …`, and has the worker's folder as
//! `--data-dir`. A process that it forks has the same arguments for a moment, but leads no group.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use millrace_resource_core::WorkerId;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The role that a worker's process plays: its first argument.
pub(crate) const ROLE: &str = "taskmanager";

/// The argument in front of a worker's folder.
pub(crate) const FOLDER_FLAG: &str = "--data-dir";

/// The processes of the workers whose folders are in `root`, an absolute path without symbolic links.
pub(crate) fn workers(root: &Path) -> io::Result<BTreeMap<WorkerId, Pid>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok()).filter(|pid| *pid > 0).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Some(worker) = worker_of(pid, root)
        {
            found.insert(worker, pid);
        }
    }
    Ok(found)
}

/// A handle on a worker's process, if that still has the number.
pub(crate) fn handle(pid: Pid, worker: &WorkerId, root: &Path) -> Option<OwnedFd> {
    let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Checked behind the opening: another process may have got the number before.
    (worker_of(pid, root).as_ref() == Some(worker)).then_some(handle)
}

/// The worker that a process is. None if it has ended, is another one, or may not be looked at.
fn worker_of(pid: Pid, root: &Path) -> Option<WorkerId> {
    let folder = Path::new("/proc").join(pid.as_raw_pid().to_string());
    let arguments = std::fs::read(folder.join("cmdline")).ok()?;
    let worker = worker_among(&arguments, root)?;
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    leads_its_group_and_lives(&stat, pid).then_some(worker)
}

/// The worker that arguments name, each of which ends with a zero byte.
fn worker_among(arguments: &[u8], root: &Path) -> Option<WorkerId> {
    let arguments: Vec<&str> = arguments.split(|byte| *byte == 0).map(str::from_utf8).collect::<Result<_, _>>().ok()?;
    if arguments.get(1) != Some(&ROLE) {
        return None;
    }
    let at = arguments.iter().position(|argument| *argument == FOLDER_FLAG)?;
    let folder = Path::new(arguments.get(at + 1)?);
    let name = folder.file_name()?.to_str()?;
    (folder.parent() == Some(root)).then(|| WorkerId(name.to_owned()))
}

/// Reads `/proc/PID/stat`: the number, the program's name in brackets, the state, the parent, the group.
fn leads_its_group_and_lives(stat: &str, pid: Pid) -> bool {
    // The name may have anything in it, brackets too.
    let Some((_, behind)) = stat.rsplit_once(')') else { return false };
    let mut fields = behind.split_whitespace();
    let state = fields.next();
    let group: Option<i32> = fields.nth(1).and_then(|group| group.parse().ok());
    group == Some(pid.as_raw_pid()) && !matches!(state, None | Some("Z" | "X"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn worker(arguments: &[&str]) -> Option<String> {
        let bytes: Vec<u8> = arguments.iter().flat_map(|text| text.bytes().chain([0])).collect();
        worker_among(&bytes, Path::new("/data/taskmanagers")).map(|worker| worker.0)
    }

    #[test]
    fn a_worker_is_known_by_its_role_and_folder() {
        let folder = "/data/taskmanagers/taskmanager-1-2";
        let there = worker(&["millrace", "taskmanager", "--jobmanager", "a:1", "--data-dir", folder, "-D", "x=y"]);
        assert_eq!(there.unwrap(), "taskmanager-1-2");
        assert_eq!(worker(&["millrace", "jobmanager", "--data-dir", folder]), None);
        assert_eq!(worker(&["tail", "-f", folder]), None);
        assert_eq!(worker(&["millrace", "taskmanager", "--data-dir"]), None);
        assert_eq!(worker(&["millrace", "taskmanager", "--data-dir", "/data/others/taskmanager-1-2"]), None);
        assert_eq!(worker(&["millrace", "taskmanager", "--data-dir", "/data/taskmanagers"]), None);
        assert_eq!(worker(&[]), None);
    }

    #[test]
    fn only_a_living_leader_of_its_group_counts() {
        let pid = Pid::from_raw(17).unwrap();
        let counts = |stat: &str| leads_its_group_and_lives(stat, pid);
        assert!(counts("17 (millrace) S 1 17 17 0 -1"));
        assert!(counts("17 (a) b ) R 1 17 17 0 -1"));
        assert!(!counts("17 (millrace) Z 1 17 17 0 -1"));
        assert!(!counts("17 (millrace) S 9 9 17 0 -1"));
        assert!(!counts("17 (millrace"));
        assert!(!counts(""));
    }
}
