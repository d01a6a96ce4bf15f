//! `millrace new`: a project that builds and passes its own test at once. The SDK and the contract that it needs are in
//! this binary and are copied into the project, so that it goes on building when the binary is replaced.

use std::path::Path;

use anyhow::{Context, Result, bail};
use rust_embed::RustEmbed;

use crate::cli::New;
use crate::progress::println_stdout;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../sdk/rust"]
#[include = "Cargo.toml"]
#[include = "README.md"]
#[include = "src/*"]
struct SdkRust;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../sdk/rust-macros"]
#[include = "Cargo.toml"]
#[include = "src/*"]
struct SdkRustMacros;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../sdk/wit"]
struct Wit;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/template"]
struct Template;

/// Where a project keeps its copy of the SDK.
const SDK_FOLDER: &str = ".millrace/sdk";

/// The longest name of a project.
const NAME_LENGTH_MAX: usize = 60;

pub(crate) fn run(options: &New) -> Result<()> {
    check_name(&options.name)?;
    let project = options.into.join(&options.name);
    if project.exists() {
        bail!("{} exists already: choose another name, or another folder with --into", project.display());
    }
    let sdk = project.join(SDK_FOLDER);
    copy::<SdkRust>(&sdk.join("rust"), "")?;
    copy::<SdkRustMacros>(&sdk.join("rust-macros"), "")?;
    copy::<Wit>(&sdk.join("wit"), "")?;
    copy::<Template>(&project, &options.name)?;
    println_stdout(&format!(
        "Made {0}. Now:\n  cd {0}\n  cargo test        # runs the pipeline natively\n  millrace build    # target/bundles/{1}.mrb",
        project.display(),
        options.name
    ));
    Ok(())
}

/// The name becomes a crate's, a bundle's and a component's.
fn check_name(name: &str) -> Result<()> {
    let letters = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !letters || !begins || name.ends_with('-') || name.len() > NAME_LENGTH_MAX {
        bail!(
            "\"{name}\" cannot name a project: use lower-case letters, digits and '-', a letter first, \
             {NAME_LENGTH_MAX} characters at most"
        );
    }
    if ["test", "core", "std", "alloc", "proc-macro", "millrace"].contains(&name) {
        bail!("\"{name}\" is the name of a crate that every project uses: choose another");
    }
    Ok(())
}

/// Writes embedded files; a trailing `.template` of a name is left out, since cargo would take the file for a project
/// of its own.
fn copy<Files: RustEmbed>(folder: &Path, name: &str) -> Result<()> {
    for path in Files::iter() {
        let Some(file) = Files::get(&path) else { continue };
        let target = folder.join(path.strip_suffix(".template").unwrap_or(&path));
        let parent = target.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let text = String::from_utf8_lossy(&file.data);
        let text = text.replace("{{name}}", name).replace("{{crate}}", &name.replace('-', "_"));
        std::fs::write(&target, text).with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(())
}
