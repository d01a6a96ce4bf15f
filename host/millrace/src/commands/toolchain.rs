//! The Rust toolchain for guests: rustup's Wasm target, or Debian's compiler with its own library source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What guests are compiled for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// What every host of guests has beyond the target's own features: vectors of 128 bits.
const TARGET_FEATURES: &str = "-Ctarget-feature=+simd128";

/// Where Debian installs its compiler.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// How to make `cargo` build guests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Arguments behind those of the project's build command.
    pub(crate) arguments: Vec<String>,
    /// The environment.
    pub(crate) environment: Vec<(String, String)>,
}

/// What cargo says of a project.
pub(crate) struct Workspace {
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// The folders of the packages that are no registry's, by name.
    packages: BTreeMap<String, PathBuf>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn of(project: &Path) -> Result<Self> {
        let mut command = Command::new("cargo");
        command.current_dir(project).args(["metadata", "--format-version", "1"]).env_remove("CARGO_TARGET_DIR");
        let output = command.output().context("cannot run cargo: install Rust with rustup")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        let local = metadata.packages.into_iter().filter(|package| package.source.is_none());
        let folder = |package: Package| Some((package.name, package.manifest_path.parent()?.to_owned()));
        Ok(Self { target: metadata.target_directory, packages: local.filter_map(folder).collect() })
    }
}

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    source: Option<String>,
    manifest_path: PathBuf,
}

impl Toolchain {
    /// Finds a toolchain that can build guests. All packages of a workspace get the same one, flags included, so that
    /// what they share is built once.
    pub(crate) fn find(workspace: &Workspace) -> Result<Self> {
        let sysroot = PathBuf::from(rustc_says("rustc", &["--print", "sysroot"])?);
        let mut prefixes = vec![(sysroot.clone(), "/rust".to_owned())];
        prefixes.extend(workspace.packages.iter().map(|(name, folder)| (folder.clone(), format!("/src/{name}"))));
        if let Some(home) = cargo_home() {
            prefixes.push((home, "/cargo".to_owned()));
        }
        let mut arguments = vec!["--target".to_owned(), TARGET.to_owned()];
        let mut environment = Vec::new();
        if !has_target(&sysroot) {
            let source = debian_source().context(NO_TOOLCHAIN)?;
            prefixes.push((source, "/rust".to_owned()));
            arguments.push("-Zbuild-std=std,panic_abort".to_owned());
            let linker = sysroot.join(format!("lib/rustlib/{}/bin/rust-lld", host_triple()?));
            environment.push(("RUSTC_BOOTSTRAP".to_owned(), "1".to_owned()));
            environment.push(("RUSTC".to_owned(), DEBIAN_RUSTC.to_owned()));
            environment.push(("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER".to_owned(), text_of(&linker)?));
        }
        // Paths of this machine end up in panic messages, and would make the same source give other bytes elsewhere.
        let mut flags = vec![TARGET_FEATURES.to_owned()];
        for (folder, name) in prefixes {
            flags.push(format!("--remap-path-prefix={}={name}", text_of(&folder)?));
        }
        environment.push(("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS".to_owned(), flags.join(" ")));
        Ok(Self { arguments, environment })
    }
}

const NO_TOOLCHAIN: &str = "this machine cannot build Wasm guests in Rust: `rustup target add wasm32-unknown-unknown`, \
     or on Debian, where rustup cannot download, `apt-get install rustc-web rust-web-src`";

fn rustc_says(rustc: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(rustc).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {rustc}: install Rust with rustup"))?;
    if !output.status.success() {
        bail!("{rustc} {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn host_triple() -> Result<String> {
    let version = rustc_says("rustc", &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not tell its host")?.to_owned())
}

fn has_target(sysroot: &Path) -> bool {
    let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    std::fs::read_dir(library).is_ok_and(|mut entries| entries.next().is_some())
}

/// Debian's library source, if its compiler and source are both there.
fn debian_source() -> Option<PathBuf> {
    let sysroot = PathBuf::from(rustc_says(DEBIAN_RUSTC, &["--print", "sysroot"]).ok()?);
    let source = sysroot.join("lib/rustlib/src/rust");
    let real = std::fs::canonicalize(&source).ok()?;
    real.join("library/std/Cargo.toml").is_file().then_some(source)
}

fn cargo_home() -> Option<PathBuf> {
    let stated = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    stated.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

/// Flags are separated by white space.
fn text_of(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) if !text.contains(char::is_whitespace) => Ok(text.to_owned()),
        _ => bail!("the folder {} has white space or other unusual characters in its name: move it", path.display()),
    }
}
