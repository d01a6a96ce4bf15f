//! Typed ids. Each prints as Flink prints it and is parsed back from that text, strictly.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the id that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{value}\" is not a {what}: {reason}")]
pub struct IdError {
    what: &'static str,
    value: String,
    reason: &'static str,
}

impl IdError {
    fn new(what: &'static str, value: &str, reason: &'static str) -> Self {
        // A hostile text must not grow the message without bound.
        let value = value.chars().take(80).collect();
        Self { what, value, reason }
    }
}

fn parse_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], IdError> {
    let mut bytes = [0u8; N];
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(IdError::new(what, text, "it has the wrong number of hexadecimal digits"));
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16);
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => *byte = (high * 16 + low) as u8,
            _ => return Err(IdError::new(what, text, "it has a character that is no hexadecimal digit")),
        }
    }
    Ok(bytes)
}

/// An id of fixed length that reads as lower-case hexadecimal digits, in text formats and in binary ones.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:expr, $what:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The id made of these bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_hex($what, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error;
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                } else {
                    let bytes = <Vec<u8>>::deserialize(deserializer)?;
                    let bytes = bytes.try_into().map_err(|_| D::Error::custom(concat!($what, " of a wrong length")))?;
                    Ok(Self(bytes))
                }
            }
        }
    };
}

hex_id!(
    /// A running or finished application. 32 hexadecimal digits, as in Flink.
    JobId, 16, "job id"
);
hex_id!(
    /// A vertex of a JobGraph, derived from its operators' uids: the same in every run of one graph.
    VertexId, 16, "vertex id"
);
hex_id!(
    /// A slot's grant to a job. An offer or a deployment under another allocation is refused.
    AllocationId, 16, "allocation id"
);
hex_id!(
    /// Something that a client asked for and whose outcome it asks for later, such as a savepoint.
    TriggerId, 16, "trigger id"
);
hex_id!(
    /// The SHA-256 of some bytes.
    Digest, 32, "SHA-256 digest"
);

/// Who owns bundles, jobs, state and logs. Lower-case letters, digits and `-`; begins with a letter; at most
/// [`TenantId::LENGTH_MAX`] characters: it is part of paths and of metadata keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

impl TenantId {
    /// The longest name that a tenant may have, in characters.
    pub const LENGTH_MAX: usize = 40;

    /// Checks and takes a tenant's name.
    pub fn new(name: &str) -> Result<Self, IdError> {
        let refuse = |reason| Err(IdError::new("tenant name", name, reason));
        if name.len() > Self::LENGTH_MAX {
            return refuse("it is longer than 40 characters");
        }
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return refuse("it does not begin with a lower-case letter");
        }
        if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            return refuse("it has other characters than lower-case letters, digits and '-'");
        }
        Ok(Self(name.to_owned()))
    }

    /// The tenant of a cluster without authentication.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }

    /// The tenant's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TenantId {
    type Error = IdError;

    fn try_from(name: String) -> Result<Self, IdError> {
        Self::new(&name)
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.0
    }
}

/// An uploaded bundle, as REST names it: `<digest>_<name>.mrb`. Uploading the same bytes under the same name twice
/// gives the same id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BundleId {
    digest: Digest,
    file_name: String,
}

impl BundleId {
    /// The longest file name of a bundle, in bytes.
    pub const FILE_NAME_LENGTH_MAX: usize = 120;

    /// The id of these bytes uploaded under this file name. Characters other than ASCII letters, digits, `.`, `-` and
    /// `_` become `_`, and a long name is cut, since the id is part of URLs.
    pub fn new(digest: Digest, file_name: &str) -> Self {
        let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
        let file_name = file_name.chars().map(keep).take(Self::FILE_NAME_LENGTH_MAX).collect();
        Self { digest, file_name }
    }

    /// The SHA-256 of the bundle's bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The file name that the bundle was uploaded under.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.digest, self.file_name)
    }
}

impl FromStr for BundleId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (digest, file_name) =
            text.split_once('_').ok_or_else(|| IdError::new("bundle id", text, "it has no '_' behind its digest"))?;
        let id = Self::new(digest.parse()?, file_name);
        if id.file_name != file_name || file_name.is_empty() {
            return Err(IdError::new("bundle id", text, "its file name has characters that no bundle's has"));
        }
        Ok(id)
    }
}

impl TryFrom<String> for BundleId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<BundleId> for String {
    fn from(id: BundleId) -> Self {
        id.to_string()
    }
}

/// A node of a StreamGraph: its position in the graph's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One execution attempt of one subtask: Flink's ExecutionAttemptID. It fences every message from and to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The job.
    pub job: JobId,
    /// The vertex.
    pub vertex: VertexId,
    /// The subtask, from 0.
    pub subtask: u32,
    /// How often this subtask was started before, in the whole life of the job.
    pub attempt: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}_{}", self.job, self.vertex, self.subtask, self.attempt)
    }
}

/// A TaskManager process in one of its lives: a restarted process has another id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskManagerId(pub String);

impl fmt::Display for TaskManagerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A slot of a TaskManager.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotId {
    /// The TaskManager.
    pub task_manager: TaskManagerId,
    /// The slot's number, from 0.
    pub index: u32,
}

/// How many leaders there have been. A message of an older epoch than the newest one seen is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaderEpoch(pub u64);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn hex_ids_read_back_and_refuse_anything_else() {
        let id = JobId::from_bytes([0xab; 16]);
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        for bad in ["nothex", "", "abababababababababababababababa", "gbababababababababababababababab"] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tenants_are_safe_in_paths() {
        assert!(TenantId::new("team-7").is_ok());
        for bad in ["", "..", "a/b", "A", "7up", "-a", &"a".repeat(41)] {
            assert!(TenantId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bundle_ids_keep_the_file_name() {
        let id = BundleId::new(Digest::from_bytes([1; 32]), "my bundle/1.mrb");
        assert_eq!(id.file_name(), "my_bundle_1.mrb");
        assert_eq!(id.to_string().parse::<BundleId>().unwrap(), id);
        assert!("nosuch.jar".parse::<BundleId>().is_err());
        assert!(format!("{}_../x", id.digest()).parse::<BundleId>().is_err());
    }
}
