//! Where things are in the repository.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder of the programs that this one was built with; tests lie in a folder in it.
pub fn programs() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program's own path")?;
    let folder = own.parent().context("this program's folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().context("the target folder")? } else { folder };
    Ok(folder.to_owned())
}

/// The binary that the tests were built beside.
pub fn millrace() -> Result<PathBuf> {
    let binary = programs()?.join("millrace");
    ensure!(binary.exists(), "{} is not there: `just build` makes it", binary.display());
    Ok(binary)
}

/// A bundle of an example.
pub fn bundle(name: &str) -> Result<PathBuf> {
    let path = root().join("target/bundles").join(format!("{name}.mrb"));
    ensure!(path.exists(), "{} is not there: `just guests` makes it", path.display());
    Ok(path)
}

/// Data that `scripts/setup` fetches.
pub fn data(name: &str) -> Result<PathBuf> {
    let path = root().join("data").join(name);
    ensure!(path.exists(), "{} is not there: `scripts/setup` fetches it", path.display());
    Ok(path.canonicalize()?)
}
