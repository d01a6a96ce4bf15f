//! Where files are kept: a local folder, or a prefix of an S3 bucket.
//!
//! Invariants:
//! - A location is written in one way: what [`StorageLocation::parse`] reads from [`std::fmt::Display`] is the same one.
//! - A key of S3 has no part that is empty, `.` or `..`, and holds no credentials: a location may be logged and shown.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::checkpoint::StorePath;

/// A text that is no location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no place for files: {reason}; write an absolute path, file:///… or s3://bucket/prefix")]
pub struct LocationError {
    /// The text, its beginning if it is long.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageLocation {
    /// An absolute path.
    Local(PathBuf),
    /// A prefix of a bucket's keys.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, without `/` at its ends; empty for the whole bucket.
        key: String,
    },
}

impl StorageLocation {
    /// Reads an absolute path, `file:/path`, `file:///path` or `s3://bucket/prefix`.
    ///
    /// # Errors
    /// What the text is instead.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let refuse = |reason| Err(LocationError { text: text.chars().take(200).collect(), reason });
        // `s3a` and `s3p` are how Flink tells its two libraries apart.
        let s3 = ["s3://", "s3a://", "s3p://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        if let Some(rest) = s3 {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            if !is_bucket(bucket) {
                return refuse("a bucket's name has 3 to 63 lower-case letters, digits, '-' and '.'");
            }
            let key = key.trim_end_matches('/');
            if !key.is_empty() && StorePath::parse(key).is_err() {
                return refuse("the parts of a prefix have letters, digits, '.', '_' and '-', and none is empty");
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), key: key.to_owned() });
        }
        let path = match text.strip_prefix("file:") {
            Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
            None if text.contains("://") => return refuse("there are local folders and S3"),
            None => text,
        };
        if path.contains('\0') || !Path::new(path).is_absolute() {
            return refuse("it is no absolute path");
        }
        Ok(Self::Local(PathBuf::from(path)))
    }

    /// Whether a text is meant to be of S3, well-formed or not.
    pub fn is_s3_text(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| matches!(scheme, "s3" | "s3a" | "s3p"))
    }

    /// A folder or file in this folder. The name is one that this crate's caller made up, not a client.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.join(name)),
            Self::S3 { bucket, key } if key.is_empty() => Self::S3 { bucket: bucket.clone(), key: name.to_owned() },
            Self::S3 { bucket, key } => Self::S3 { bucket: bucket.clone(), key: format!("{key}/{name}") },
        }
    }

    /// The folder that this one is in; the topmost is in itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.parent().unwrap_or(path).to_owned()),
            Self::S3 { bucket, key } => {
                let key = key.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
                Self::S3 { bucket: bucket.clone(), key }
            }
        }
    }

    /// The last part of the path or prefix.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Local(path) => path.file_name()?.to_str(),
            Self::S3 { key, .. } => key.rsplit('/').next().filter(|name| !name.is_empty()),
        }
    }

    /// What the keys of a store at this location begin with: nothing for a local folder, which is its store's root.
    pub(crate) fn key(&self) -> object_store::path::Path {
        match self {
            Self::Local(_) => object_store::path::Path::default(),
            Self::S3 { key, .. } => key.as_str().into(),
        }
    }

    /// Whether this is `root`, or below it. Links of a local folder are not followed.
    pub fn is_within(&self, root: &Self) -> bool {
        match (self, root) {
            (Self::Local(path), Self::Local(root)) => path.starts_with(root),
            (Self::S3 { bucket, key }, Self::S3 { bucket: root, key: prefix }) => {
                let below = |rest: &str| rest.is_empty() || rest.starts_with('/') || prefix.is_empty();
                bucket == root && key.strip_prefix(prefix.as_str()).is_some_and(below)
            }
            _ => false,
        }
    }
}

impl From<&Path> for StorageLocation {
    fn from(path: &Path) -> Self {
        Self::Local(path.to_owned())
    }
}

impl fmt::Display for StorageLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::S3 { bucket, key } if key.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

/// Which places of S3 clients may name. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum S3Roots {
    /// None.
    #[default]
    None,
    /// Whatever the process's credentials open.
    Unrestricted,
    /// These and all below them.
    Only(Vec<StorageLocation>),
}

impl S3Roots {
    /// Whether a location lies within the roots.
    pub fn cover(&self, location: &StorageLocation) -> bool {
        match self {
            Self::None => false,
            Self::Unrestricted => true,
            Self::Only(roots) => roots.iter().any(|root| location.is_within(root)),
        }
    }
}

fn is_bucket(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    (3..=63).contains(&name.len())
        && name.bytes().all(inner)
        && ends(name.bytes().next())
        && ends(name.bytes().next_back())
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(text: &str) -> StorageLocation {
        StorageLocation::parse(text).unwrap()
    }

    #[test]
    fn a_location_is_written_in_one_way() {
        for (text, written) in [
            ("/a/b", "/a/b"),
            ("file:/a/b", "/a/b"),
            ("file:///a/b", "/a/b"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3a://my.bucket-1/a/b/", "s3://my.bucket-1/a/b"),
        ] {
            assert_eq!(at(text).to_string(), written);
            assert_eq!(at(written), at(text));
        }
        for text in [
            "",
            "a",
            "./a",
            "file:a",
            "file://host",
            "gs://bucket/a",
            "s3://",
            "s3://ab",
            "s3://Bucket/a",
            "s3://key:secret@bucket/a",
            "s3://bucket//a",
            "s3://bucket/a/../b",
            "s3://bucket/a b",
            "s3://bucket/%2e",
            "s3://-bucket",
            "s3://a..b",
            "/a\0",
        ] {
            assert!(StorageLocation::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parts_are_put_together_and_taken_apart() {
        for root in ["/root", "s3://bucket/root"] {
            let root = at(root);
            let inner = root.join("job").join("chk-1");
            assert_eq!(
                (inner.name(), inner.parent(), inner.parent().parent()),
                (Some("chk-1"), root.join("job"), root)
            );
        }
        assert_eq!(at("s3://bucket").join("a"), at("s3://bucket/a"));
        assert_eq!(at("s3://bucket/a").parent(), at("s3://bucket"));
        assert_eq!(at("s3://bucket").parent(), at("s3://bucket"));
    }

    #[test]
    fn roots_cover_what_is_below_them_and_no_namesakes() {
        for (root, inside, outside) in [
            ("s3://bucket/a", "s3://bucket/a/b", "s3://bucket/ab"),
            ("s3://bucket", "s3://bucket/x", "s3://bucket2/x"),
            ("s3://bucket/a", "s3://bucket/a", "s3://bucket"),
            ("s3://bucket/a", "s3://bucket/a", "/bucket/a"),
        ] {
            let roots = S3Roots::Only(vec![at(root)]);
            assert!(roots.cover(&at(inside)) && !roots.cover(&at(outside)), "{root}");
            assert!(!S3Roots::None.cover(&at(inside)) && S3Roots::Unrestricted.cover(&at(outside)));
        }
    }
}
