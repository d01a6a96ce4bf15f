//! Where checkpoints and savepoints are, and who may reach them.
//!
//! Invariants:
//! - Every location that leaves here means the same in every process: a local path is absolute.
//! - A folder that a client names lies within the roots: of file connectors if it is local, of S3 otherwise. One that the
//!   cluster's configuration names may lie elsewhere: then its files are restored for the tenant alone that wrote them.

use std::path::{Path, PathBuf};

use millrace_storage::{METADATA_FILE, StorageLocation};
use millrace_types::{JobId, SAVEPOINT_FOLDER_BYTES_MAX};

use crate::error::{DispatcherError, lost_task};
use crate::options::JobManagerOptions;

/// A folder that state is restored from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestoreFolder {
    pub(crate) location: StorageLocation,
    /// It is out of the roots: only the tenant that wrote it may read it.
    pub(crate) own_only: bool,
}

/// A folder that a client named, within the roots.
pub(crate) async fn within_roots(options: &JobManagerOptions, path: &str) -> Result<StorageLocation, DispatcherError> {
    if StorageLocation::is_s3_text(path) {
        let location = s3(path)?;
        return if options.s3_roots.cover(&location) { check_length(location) } else { Err(outside(&location)) };
    }
    let (roots, path) = (options.file_roots.clone(), local(path).to_owned());
    let resolved =
        tokio::task::spawn_blocking(move || roots.resolve(&path)).await.map_err(|error| lost_task(&error))?;
    let resolved = resolved.map_err(|error| DispatcherError::Invalid(error.to_string()))?;
    check_length(StorageLocation::Local(resolved))
}

fn s3(path: &str) -> Result<StorageLocation, DispatcherError> {
    StorageLocation::parse(path).map_err(|error| DispatcherError::Invalid(error.to_string()))
}

fn outside(location: &StorageLocation) -> DispatcherError {
    DispatcherError::Invalid(format!(
        "{location} is outside of what clients may name: add it, or a prefix of it, to the cluster's option file.roots"
    ))
}

/// A fresh folder for a savepoint, as Flink names it.
pub(crate) async fn savepoint_folder(
    options: &JobManagerOptions,
    configured: Option<&StorageLocation>,
    stated: Option<&str>,
    job: JobId,
) -> Result<StorageLocation, DispatcherError> {
    let parent = match (stated.filter(|path| !path.is_empty()), configured) {
        (Some(path), _) => within_roots(options, path).await?,
        (None, Some(folder)) => folder.clone(),
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
    check_length(parent.join(&format!("savepoint-{}-{random}", job.get(..6).unwrap_or_default())))
}

/// The folder of a savepoint or retained checkpoint that a client named, or its metadata file's.
pub(crate) async fn restore_folder(options: &JobManagerOptions, path: &str) -> Result<RestoreFolder, DispatcherError> {
    let path = local(path);
    let folder = path.strip_suffix(METADATA_FILE).filter(|rest| rest.ends_with('/')).unwrap_or(path);
    let ours = [Some(&options.checkpoint_dir), options.savepoint_dir.as_ref()];
    if StorageLocation::is_s3_text(folder) {
        let location = check_length(s3(folder)?)?;
        let own_only = !options.s3_roots.cover(&location);
        let known = ours.into_iter().flatten().any(|known| location.is_within(known));
        return if own_only && !known { Err(outside(&location)) } else { Ok(RestoreFolder { location, own_only }) };
    }
    let canonical = match Path::new(folder).is_absolute() {
        true => tokio::fs::canonicalize(folder).await.ok(),
        false => None,
    };
    if let Some(canonical) = canonical {
        for known in ours.into_iter().flatten() {
            let StorageLocation::Local(known) = known else { continue };
            let known = tokio::fs::canonicalize(known).await;
            if known.is_ok_and(|known| canonical.starts_with(known) && within_roots_now(options, &canonical).is_err()) {
                let location = check_length(StorageLocation::Local(canonical))?;
                return Ok(RestoreFolder { location, own_only: true });
            }
        }
    }
    Ok(RestoreFolder { location: within_roots(options, folder).await?, own_only: false })
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

fn check_length(location: StorageLocation) -> Result<StorageLocation, DispatcherError> {
    let bytes = location.to_string().len();
    let unwritable = matches!(&location, StorageLocation::Local(path) if path.to_str().is_none());
    if bytes > SAVEPOINT_FOLDER_BYTES_MAX || unwritable {
        return Err(DispatcherError::Invalid(format!(
            "a path of {bytes} bytes is no folder for checkpoints: it may have {SAVEPOINT_FOLDER_BYTES_MAX} bytes of UTF-8"
        )));
    }
    Ok(location)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use millrace_connectors::FileRoots;
    use millrace_storage::S3Roots;

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
        let name = made.name().unwrap().to_owned();
        assert!(name.starts_with("savepoint-ababab-") && name.len() == 29, "{name}");
        let refused = savepoint_folder(&options, None, Some(&elsewhere.path().to_string_lossy()), job).await;
        assert!(matches!(refused, Err(DispatcherError::Invalid(_))), "{refused:?}");
        let configured = savepoint_folder(&options, Some(&elsewhere.path().into()), None, job).await.unwrap();
        assert!(configured.is_within(&elsewhere.path().into()));
        let nowhere = savepoint_folder(&options, None, None, job).await.unwrap_err().to_string();
        assert!(nowhere.contains("execution.checkpointing.savepoint-dir"), "{nowhere}");
    }

    #[tokio::test]
    async fn the_clusters_own_folders_are_read_by_their_writers_only() {
        let (roots, checkpoints) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut options = options(FileRoots::only([roots.path()]).unwrap());
        options.checkpoint_dir = checkpoints.path().into();
        let own = checkpoints.path().join("chk-1");
        std::fs::create_dir(&own).unwrap();
        let found = restore_folder(&options, &format!("{}/_metadata", own.display())).await.unwrap();
        assert_eq!(found, RestoreFolder { location: own.canonicalize().unwrap().as_path().into(), own_only: true });
        let free = roots.path().join("savepoint-1");
        let found = restore_folder(&options, &free.to_string_lossy()).await.unwrap();
        assert!(!found.own_only);
        for outside in ["/etc", "/", "relative"] {
            assert!(restore_folder(&options, outside).await.is_err(), "{outside}");
        }
    }

    #[tokio::test]
    async fn s3_is_reached_within_its_roots_and_where_the_cluster_says() {
        let at = |text: &str| StorageLocation::parse(text).unwrap();
        let mut options = options(FileRoots::unrestricted());
        options.checkpoint_dir = at("s3://cluster/checkpoints");
        options.s3_roots = S3Roots::Only(vec![at("s3://shared/savepoints")]);
        let job = JobId::from_bytes([0xab; 16]);
        let made = savepoint_folder(&options, None, Some("s3://shared/savepoints/mine/"), job).await.unwrap();
        assert!(
            made.is_within(&at("s3://shared/savepoints/mine")) && made.name().unwrap().starts_with("savepoint-ababab")
        );
        for outside in [
            "s3://shared",
            "s3://shared/savepoints2",
            "s3://cluster/checkpoints",
            "s3://x",
            "s3://shared/savepoints/../x",
        ] {
            let refused = savepoint_folder(&options, None, Some(outside), job).await;
            assert!(matches!(refused, Err(DispatcherError::Invalid(_))), "{outside}: {refused:?}");
        }
        for (text, own_only) in
            [("s3://cluster/checkpoints/j/chk-1/_metadata", true), ("s3://shared/savepoints/s", false)]
        {
            let found = restore_folder(&options, text).await.unwrap();
            assert_eq!(found, RestoreFolder { location: at(text.trim_end_matches("/_metadata")), own_only });
        }
        assert!(restore_folder(&options, "s3://elsewhere/s").await.is_err());
    }
}
