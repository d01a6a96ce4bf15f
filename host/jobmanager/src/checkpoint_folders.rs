//! Where checkpoints and savepoints are, and who may reach them.
//!
//! Invariants:
//! - Every path that leaves here is absolute, so that it means the same in every process.
//! - A folder that a client names lies within the roots of file connectors. One that the cluster's configuration names
//!   may lie elsewhere: then its files are restored for the tenant alone that wrote them.

use std::path::{Path, PathBuf};

use millrace_connectors::FileRoots;
use millrace_storage::METADATA_FILE;
use millrace_types::{JobId, SAVEPOINT_FOLDER_BYTES_MAX};

use crate::error::{DispatcherError, lost_task};
use crate::options::JobManagerOptions;

/// A folder that state is restored from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestoreFolder {
    pub(crate) path: PathBuf,
    /// It is out of the roots: only the tenant that wrote it may read it.
    pub(crate) own_only: bool,
}

/// The folder of a job's checkpoints.
pub(crate) fn job_folder(checkpoint_dir: &Path, job: JobId) -> PathBuf {
    checkpoint_dir.join(job.to_string())
}

/// A folder that a client named, within the roots.
pub(crate) async fn within_roots(roots: &FileRoots, path: &str) -> Result<PathBuf, DispatcherError> {
    let (roots, path) = (roots.clone(), local(path).to_owned());
    let resolved =
        tokio::task::spawn_blocking(move || roots.resolve(&path)).await.map_err(|error| lost_task(&error))?;
    let resolved = resolved.map_err(|error| DispatcherError::Invalid(error.to_string()))?;
    check_length(resolved)
}

/// A fresh folder for a savepoint, as Flink names it.
pub(crate) async fn savepoint_folder(
    options: &JobManagerOptions,
    configured: Option<&Path>,
    stated: Option<&str>,
    job: JobId,
) -> Result<PathBuf, DispatcherError> {
    let parent = match (stated.filter(|path| !path.is_empty()), configured) {
        (Some(path), _) => within_roots(&options.file_roots, path).await?,
        (None, Some(folder)) => folder.to_owned(),
        (None, None) => {
            return Err(DispatcherError::Invalid(
                "Config key [execution.checkpointing.savepoint-dir] is not set. Property [target-directory] must be \
                 provided."
                    .to_owned(),
            ));
        }
    };
    let job = job.to_string();
    let random: [u8; 6] = rand::random();
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    check_length(parent.join(format!("savepoint-{}-{random}", job.get(..6).unwrap_or_default())))
}

/// The folder of a savepoint or retained checkpoint that a client named, or its metadata file's.
pub(crate) async fn restore_folder(options: &JobManagerOptions, path: &str) -> Result<RestoreFolder, DispatcherError> {
    let path = local(path);
    let folder = path.strip_suffix(METADATA_FILE).filter(|rest| rest.ends_with('/')).unwrap_or(path);
    let canonical = match Path::new(folder).is_absolute() {
        true => tokio::fs::canonicalize(folder).await.ok(),
        false => None,
    };
    let ours = [Some(&options.checkpoint_dir), options.savepoint_dir.as_ref()];
    if let Some(canonical) = canonical {
        for known in ours.into_iter().flatten() {
            let known = tokio::fs::canonicalize(known).await;
            if known.is_ok_and(|known| canonical.starts_with(known) && within_roots_now(options, &canonical).is_err()) {
                return Ok(RestoreFolder { path: check_length(canonical)?, own_only: true });
            }
        }
    }
    Ok(RestoreFolder { path: within_roots(&options.file_roots, folder).await?, own_only: false })
}

fn within_roots_now(options: &JobManagerOptions, path: &Path) -> Result<PathBuf, DispatcherError> {
    let resolved = options.file_roots.resolve(&path.to_string_lossy());
    resolved.map_err(|error| DispatcherError::Invalid(error.to_string()))
}

/// `file:/a`, as Flink writes local paths, is `/a`.
fn local(path: &str) -> &str {
    match path.strip_prefix("file:") {
        Some(rest) if rest.starts_with('/') && !rest.starts_with("//") => rest,
        _ => path,
    }
}

fn check_length(path: PathBuf) -> Result<PathBuf, DispatcherError> {
    let bytes = path.as_os_str().len();
    if bytes > SAVEPOINT_FOLDER_BYTES_MAX || path.to_str().is_none() {
        return Err(DispatcherError::Invalid(format!(
            "a path of {bytes} bytes is no folder for checkpoints: it may have {SAVEPOINT_FOLDER_BYTES_MAX} bytes of UTF-8"
        )));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn options(roots: FileRoots) -> JobManagerOptions {
        JobManagerOptions { file_roots: roots, ..JobManagerOptions::default() }
    }

    #[tokio::test]
    async fn savepoints_are_made_within_the_roots_or_where_the_cluster_says() {
        let allowed = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let options = options(FileRoots::only([allowed.path()]).unwrap());
        let job = JobId::from_bytes([0xab; 16]);
        let target = format!("file:{}", allowed.path().join("mine").display());
        let made = savepoint_folder(&options, None, Some(&target), job).await.unwrap();
        let name = made.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.starts_with("savepoint-ababab-") && name.len() == 29, "{name}");
        let refused = savepoint_folder(&options, None, Some(&elsewhere.path().to_string_lossy()), job).await;
        assert!(matches!(refused, Err(DispatcherError::Invalid(_))), "{refused:?}");
        let configured = savepoint_folder(&options, Some(elsewhere.path()), None, job).await.unwrap();
        assert!(configured.starts_with(elsewhere.path()));
        let nowhere = savepoint_folder(&options, None, None, job).await.unwrap_err().to_string();
        assert!(nowhere.contains("execution.checkpointing.savepoint-dir"), "{nowhere}");
    }

    #[tokio::test]
    async fn the_clusters_own_folders_are_read_by_their_writers_only() {
        let (roots, checkpoints) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut options = options(FileRoots::only([roots.path()]).unwrap());
        options.checkpoint_dir = checkpoints.path().to_owned();
        let own = checkpoints.path().join("chk-1");
        std::fs::create_dir(&own).unwrap();
        let found = restore_folder(&options, &format!("{}/_metadata", own.display())).await.unwrap();
        assert_eq!(found, RestoreFolder { path: own.canonicalize().unwrap(), own_only: true });
        let free = roots.path().join("savepoint-1");
        let found = restore_folder(&options, &free.to_string_lossy()).await.unwrap();
        assert!(!found.own_only);
        for outside in ["/etc", "/", "relative"] {
            assert!(restore_folder(&options, outside).await.is_err(), "{outside}");
        }
    }
}
