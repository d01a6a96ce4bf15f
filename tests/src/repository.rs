//! Where things are in the repository.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The binary that the tests were built beside.
pub fn millrace() -> Result<PathBuf> {
    let test = std::env::current_exe().context("the test's own path")?;
    let binary = test.ancestors().nth(2).context("the target folder")?.join("millrace");
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
