//! Paths within a store.
//!
//! Invariant: a [`StorePath`] has no part that means another folder, and no character that a store or a shell takes for
//! something else.

use super::CheckpointStoreError;

/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// The longest part of a path, in bytes: what file systems allow, with room for the end of a temporary name.
const PART_BYTES_MAX: usize = 200;

/// A path within a store: parts of letters, digits, `.`, `_` and `-`, separated by `/`.
#[derive(Debug, Clone)]
pub struct StorePath(String);

impl StorePath {
    pub fn parse(path: &str) -> Result<Self, CheckpointStoreError> {
        let refuse = |reason| {
            let path = path.chars().take(200).collect();
            Err(CheckpointStoreError::BadPath { path, reason })
        };
        if path.len() > PATH_BYTES_MAX {
            return refuse("it is too long");
        }
        if path.starts_with('/') {
            return refuse("it is absolute");
        }
        for part in path.split('/') {
            if matches!(part, "" | "." | "..") {
                return refuse("it has an empty part, \".\" or \"..\"");
            }
            if part.len() > PART_BYTES_MAX {
                return refuse("a part of it is too long");
            }
            if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
                return refuse("it has other characters than letters, digits, '.', '_' and '-'");
            }
        }
        Ok(Self(path.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn location(&self) -> object_store::path::Path {
        self.0.as_str().into()
    }
}
