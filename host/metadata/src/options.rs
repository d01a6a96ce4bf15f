//! How the metadata are kept, and by whom.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::types::{MemberAddresses, MemberId};

/// The largest command, in bytes as it is written.
pub(crate) const COMMAND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The commands that wait or are being written, in bytes.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most commands that wait.
pub(crate) const QUEUE_COMMANDS_MAX: usize = 1_024;

/// The most commands of one log entry.
pub(crate) const BATCH_COMMANDS_MAX: usize = 256;

/// The commands of one log entry, in bytes; a single command may be larger.
pub(crate) const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Log entries whose fate is open, at once: one is written here while the other one travels to the followers.
pub(crate) const ENTRIES_IN_FLIGHT_MAX: usize = 2;

/// How long a command waits for its fate before it is reported as unknown.
pub(crate) const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Log entries of this size since the last snapshot call for the next one, in bytes, unless it would be larger.
pub(crate) const LOG_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// Of the entries between two snapshots this part stays in the log behind the newer one, so that a follower that lags a
/// little needs no snapshot.
pub(crate) const LOG_KEPT_DIVISOR: u64 = 16;

/// The largest snapshot, in bytes: it is held in memory while it is written or received.
pub(crate) const SNAPSHOT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// What one message to another member carries of a snapshot, in bytes.
pub(crate) const SNAPSHOT_CHUNK_BYTES: u64 = 1024 * 1024;

/// The log entries of one message to another member, in bytes; a single entry may be larger.
pub(crate) const APPEND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most log entries of one message to another member.
pub(crate) const APPEND_ENTRIES_MAX: u64 = 256;

/// The largest message between members, in bytes: the largest command and what surrounds it.
pub(crate) const MESSAGE_BYTES_MAX: usize = COMMAND_BYTES_MAX + 1024 * 1024;

/// The most members of a group, learners included.
pub const MEMBERS_MAX: usize = 16;

/// How the metadata are kept, and by whom.
#[derive(Debug, Clone)]
pub struct MetadataOptions {
    /// The file. Its folder has to exist; it is created where it is missing.
    pub path: PathBuf,
    /// What redb may cache, in bytes.
    pub cache_bytes: usize,
    /// So many log entries are replaced by a snapshot.
    pub snapshot_entries: u64,
    /// Which member of the group this process is. A file belongs to one member for good.
    pub member: MemberId,
    /// What the group is made of if the file is new; ignored ever after.
    pub formation: Formation,
    /// When silence counts as death.
    pub timing: Timing,
}

impl MetadataOptions {
    /// A group of one in this file, which can be grown once its member has an address
    /// ([`crate::MetadataHandle::readdress_member`]).
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let member = 1;
        Self {
            path: path.into(),
            // The state itself is in memory. The file is read when it is opened, and for members that lag.
            cache_bytes: 8 * 1024 * 1024,
            snapshot_entries: 1_024,
            member,
            formation: Formation::Bootstrap(BTreeMap::from([(member, MemberAddresses::default())])),
            timing: Timing::default(),
        }
    }
}

/// How a group comes to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formation {
    /// These are the first members. Every one of them may be started so, with the same list: the group is formed once.
    Bootstrap(BTreeMap<MemberId, MemberAddresses>),
    /// An existing group will add this member ([`crate::MetadataHandle::add_member`]).
    Join,
}

/// When silence counts as death. All members of a group have to agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A leader is heard of at least so often. openraft looks at its clock every one and a half of these.
    pub heartbeat_interval: Duration,
    /// The least time after [`Timing::election_timeout_max`] of silence until a member stands for election.
    pub election_timeout_min: Duration,
    /// The most time until then; and how long after a leader's last word its followers elect nobody else.
    pub election_timeout_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(70),
            election_timeout_min: Duration::from_millis(200),
            election_timeout_max: Duration::from_millis(400),
        }
    }
}

impl Timing {
    /// How long a leader acts after a quorum was last known to follow it: shorter than the followers' patience by a
    /// fifth, for clocks that do not run alike.
    pub fn lease(&self) -> Duration {
        self.election_timeout_max.mul_f64(0.8)
    }
}
