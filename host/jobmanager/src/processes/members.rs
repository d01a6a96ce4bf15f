//! The group's JobManagers on this machine: the leader starts another process in the place of one that has died.
//!
//! Each leaves a note that says how it was started, in a folder that they share, and holds its lock for as long as it lives.
//!
//! Invariants:
//! - A member is started again only if it is of the group, is not reached, and its note is there and locked by nobody for
//!   [`DEAD_FOR`]. Whoever ends as it was told to takes its note away first.
//! - Two processes never are one member: the file of its metadata is locked by the first one, and the second one ends.
//! - A member that keeps dying is started [`STARTS_MAX`] times by one leader, with pauses in between.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_metadata::{GroupStatus, MemberId, MetadataHandle};
use serde::{Deserialize, Serialize};

use super::folders::trim;
use super::spawner::OPTIONS_PREFIX;

/// Where the notes are, below the folder of all processes.
const FOLDER: &str = "jobmanagers";

/// How often the leader looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// For how long a member has to be dead: whoever else looks after it is faster than this.
const DEAD_FOR: Duration = Duration::from_secs(3);

/// How often a member is started until it stays.
const STARTS_MAX: u32 = 5;

/// The pause behind the first start; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_secs(5);

/// A member that is reached for so long stays: its starts are forgotten.
const STAYS_FOR: Duration = Duration::from_secs(60);

/// The largest note, in bytes.
const NOTE_BYTES_MAX: u64 = 1024 * 1024;

/// How a JobManager was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    /// Its options of the environment.
    options: BTreeMap<String, String>,
}

impl Launch {
    fn of_this_process() -> io::Result<Self> {
        let text = |text: std::ffi::OsString| {
            text.into_string().map_err(|text| io::Error::other(format!("{} is not UTF-8", text.display())))
        };
        let mut options = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(OPTIONS_PREFIX) {
                options.insert(text(name)?, text(value)?);
            }
        }
        Ok(Self {
            program: std::env::current_exe()?,
            arguments: std::env::args_os().skip(1).map(text).collect::<io::Result<_>>()?,
            folder: std::env::current_dir()?,
            options,
        })
    }
}

/// What a living JobManager leaves for the others. Dropped as the process dies, it stays.
#[derive(Debug)]
pub struct MemberNote {
    path: PathBuf,
    /// Its lock ends with the process, however that ends.
    _locked: File,
}

impl MemberNote {
    /// This process ends as it was told to: nobody starts another one in its place.
    ///
    /// # Errors
    /// If the note cannot be taken away.
    pub fn take_away(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// Starts JobManagers of this machine again.
#[derive(Debug)]
pub struct MemberKeeper {
    folder: PathBuf,
}

impl MemberKeeper {
    /// With the notes below a folder that the JobManagers of a group on this machine share.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// Notes how this process was started, which is a member whose metadata it has open.
    ///
    /// # Errors
    /// If the note cannot be written, or an argument is not UTF-8.
    pub fn note_this_process(&self, member: MemberId) -> io::Result<MemberNote> {
        self.note(member, &Launch::of_this_process()?)
    }

    fn note(&self, member: MemberId, launch: &Launch) -> io::Result<MemberNote> {
        let path = self.note_of(member);
        // It may have secrets in it.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = file?;
        // A leader that looks has it for a moment only.
        file.lock()?;
        file.set_len(0)?;
        file.write_all(&serde_json::to_vec(launch)?)?;
        Ok(MemberNote { path, _locked: file })
    }

    fn note_of(&self, member: MemberId) -> PathBuf {
        self.folder.join(format!("{member}.json"))
    }

    fn log_of(&self, member: MemberId) -> PathBuf {
        self.folder.join(format!("{member}.log"))
    }

    /// How a member was started whose process has died; `None`: it lives, ended as it was told to, or never was here.
    fn left_by(&self, member: MemberId) -> io::Result<Option<Launch>> {
        let mut file = match File::open(self.note_of(member)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut text = Vec::new();
        file.rewind()?;
        file.take(NOTE_BYTES_MAX).read_to_end(&mut text)?;
        Ok(Some(serde_json::from_slice(&text)?))
    }

    /// Starts a member's process, whose end a thread waits for.
    fn start(&self, member: MemberId, launch: &Launch) -> io::Result<u32> {
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(self.log_of(member))?;
        let mut command = Command::new(&launch.program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(OPTIONS_PREFIX) {
                command.env_remove(&name);
            }
        }
        command.args(&launch.arguments).envs(&launch.options).current_dir(&launch.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut child = command.spawn()?;
        let pid = child.id();
        let waiting = move || match child.wait() {
            Ok(status) => tracing::warn!(member, pid, %status, "a JobManager that was started here has ended"),
            Err(error) => tracing::warn!(member, pid, %error, "a JobManager that was started here is lost sight of"),
        };
        std::thread::Builder::new().name(format!("jobmanager-{member}")).spawn(waiting)?;
        Ok(pid)
    }

    /// Looks after the other members for as long as this one leads.
    pub(crate) async fn run(self: Arc<Self>, metadata: MetadataHandle) {
        let mut watched = BTreeMap::<MemberId, Watched>::new();
        loop {
            let (keeper, status) = (Arc::clone(&self), metadata.status());
            let looked = tokio::task::spawn_blocking(move || {
                keeper.look(&status, &mut watched, Instant::now());
                watched
            });
            let Ok(seen) = looked.await else { return };
            watched = seen;
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn look(&self, status: &GroupStatus, watched: &mut BTreeMap<MemberId, Watched>, now: Instant) {
        watched.retain(|id, _| status.members.iter().any(|member| member.id == *id));
        for member in status.members.iter().filter(|member| member.id != status.member) {
            let (id, known) = (member.id, watched.entry(member.id).or_default());
            trim(&self.log_of(id), &self.folder.join(format!("{id}.log.1")));
            if member.reachable != Some(false) {
                known.is_reached(now);
                continue;
            }
            match self.left_by(id) {
                Ok(Some(launch)) if known.is_due(now) => match self.start(id, &launch) {
                    Ok(pid) => {
                        tracing::warn!(member = id, pid, "a JobManager of this machine died: another one is started")
                    }
                    Err(error) => {
                        tracing::error!(member = id, %error, "a JobManager that died cannot be started again")
                    }
                },
                Ok(Some(_)) => known.complain(id),
                Ok(None) => known.dead_since = None,
                Err(error) => tracing::warn!(member = id, %error, "the note of a JobManager cannot be read"),
            }
        }
    }
}

/// What the leader knows of another member.
#[derive(Debug, Default)]
struct Watched {
    reached_since: Option<Instant>,
    dead_since: Option<Instant>,
    starts: u32,
    next_start: Option<Instant>,
    complained: bool,
}

impl Watched {
    fn is_reached(&mut self, now: Instant) {
        self.dead_since = None;
        if now.duration_since(*self.reached_since.get_or_insert(now)) >= STAYS_FOR {
            *self = Self { reached_since: self.reached_since, ..Self::default() };
        }
    }

    /// Whether it is to be started now, which counts as a start.
    fn is_due(&mut self, now: Instant) -> bool {
        self.reached_since = None;
        let dead_since = *self.dead_since.get_or_insert(now);
        let waits = now.duration_since(dead_since) < DEAD_FOR || self.next_start.is_some_and(|at| now < at);
        if waits || self.starts >= STARTS_MAX {
            return false;
        }
        self.next_start = Some(now + PAUSE_MIN * 2_u32.pow(self.starts));
        self.starts += 1;
        true
    }

    /// Says once that it is given up.
    fn complain(&mut self, member: MemberId) {
        if self.starts >= STARTS_MAX && !std::mem::replace(&mut self.complained, true) {
            tracing::error!(
                member,
                "a JobManager died {STARTS_MAX} times and is left alone: see its log, and start it by hand or remove it \
                 by `millrace cluster remove {member}`"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn launch() -> Launch {
        Launch {
            program: "/usr/bin/millrace".into(),
            arguments: vec!["jobmanager".to_owned(), "--id".to_owned(), "2".to_owned()],
            folder: "/".into(),
            options: BTreeMap::from([("MILLRACE_DATA_DIR".to_owned(), "x".to_owned())]),
        }
    }

    #[test]
    fn a_note_is_read_when_its_writer_has_died_and_not_before() {
        let place = tempfile::tempdir().unwrap();
        let keeper = MemberKeeper::open(place.path()).unwrap();
        assert_eq!(keeper.left_by(2).unwrap(), None);
        let note = keeper.note(2, &launch()).unwrap();
        assert_eq!(keeper.left_by(2).unwrap(), None, "it lives");
        drop(note);
        assert_eq!(keeper.left_by(2).unwrap(), Some(launch()));
        let again = Launch { arguments: Vec::new(), ..launch() };
        let note = keeper.note(2, &again).unwrap();
        note.take_away().unwrap();
        assert_eq!(keeper.left_by(2).unwrap(), None, "it ended as it was told to");
        drop(keeper.note(2, &again).unwrap());
        assert_eq!(keeper.left_by(2).unwrap(), Some(again), "a shorter note leaves nothing of the longer one");
        fs::write(keeper.note_of(2), "{").unwrap();
        assert!(keeper.left_by(2).is_err());
    }

    /// When a member that stays dead is started, in seconds.
    #[test]
    fn a_member_that_keeps_dying_is_started_a_few_times_at_growing_intervals() {
        let begin = Instant::now();
        let mut watched = Watched::default();
        let due: Vec<u64> = (0..600).filter(|second| watched.is_due(begin + Duration::from_secs(*second))).collect();
        assert_eq!(due, [3, 8, 18, 38, 78]);
        let stays = begin + Duration::from_secs(600);
        watched.is_reached(stays);
        assert!(!watched.is_due(stays + STAYS_FOR / 2), "it was not reached for long enough");
        watched.is_reached(stays + STAYS_FOR);
        watched.is_reached(stays + STAYS_FOR * 2);
        let dies = stays + STAYS_FOR * 3;
        assert!(!watched.is_due(dies));
        assert!(watched.is_due(dies + DEAD_FOR));
    }
}
