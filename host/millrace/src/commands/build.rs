//! `millrace build`: runs a project's build commands and packages what they made.
//!
//! The same input gives the same bytes: the bundle holds no times and no paths of this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use millrace_sandbox::{InspectLimits, inspect_component};
use millrace_storage::{ComponentSpec, Manifest, write_bundle};
use millrace_types::format_bytes;
use wit_component::ComponentEncoder;

use crate::cli::Build;
use crate::commands::toolchain::{TARGET, Toolchain, Workspace};
use crate::progress::{Progress, println_stdout};

/// The first bytes of a core module; a component has another version and layer.
const CORE_MODULE: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];

pub(crate) fn run(options: &Build) -> Result<()> {
    let project = std::path::absolute(&options.project)?;
    let path = project.join("millrace.toml");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read {}: is this the folder of a project? `millrace new` makes one", path.display())
    })?;
    let manifest = Manifest::parse(&text).with_context(|| path.display().to_string())?;
    let mut components = BTreeMap::new();
    for (name, spec) in &manifest.components {
        let component =
            component(&project, name, spec, options.no_build).with_context(|| format!("the component \"{name}\""))?;
        components.insert(name.clone(), component);
    }
    let bundle = write_bundle(&manifest, &components)?;
    let folder = options.output.clone().unwrap_or_else(|| project.join("target/bundles"));
    let target = folder.join(format!("{}.mrb", manifest.application.name));
    write(&target, &bundle).with_context(|| format!("cannot write {}", target.display()))?;
    println_stdout(&format!("{} ({})", target.display(), format_bytes(bundle.len() as u64)));
    Ok(())
}

/// Builds one component and returns its bytes, checked.
fn component(project: &Path, name: &str, spec: &ComponentSpec, no_build: bool) -> Result<Bytes> {
    let mut artifact = project.join(spec.artifact.as_deref().unwrap_or(&spec.path));
    if let Some((program, arguments)) = spec.build.as_deref().and_then(<[String]>::split_first) {
        let mut toolchain = None;
        if program == "cargo" {
            let workspace = Workspace::of(project)?;
            let file = spec.artifact.clone().unwrap_or_else(|| format!("{}.wasm", name.replace('-', "_")));
            artifact = workspace.target.join(TARGET).join("release").join(file);
            toolchain = Some(Toolchain::find(&workspace)?);
        }
        if !no_build {
            build(project, program, arguments, toolchain.as_ref())?;
        }
    }
    let bytes = std::fs::read(&artifact).with_context(|| {
        format!(
            "cannot read {}: does `artifact` in millrace.toml name what the build command makes?",
            artifact.display()
        )
    })?;
    let bytes = componentize(bytes)?;
    inspect_component(&bytes, &InspectLimits::default())?;
    Ok(Bytes::from(bytes))
}

fn build(project: &Path, program: &str, arguments: &[String], toolchain: Option<&Toolchain>) -> Result<()> {
    let mut command = Command::new(program);
    command.current_dir(project).args(arguments);
    if let Some(toolchain) = toolchain {
        command.args(&toolchain.arguments).envs(toolchain.environment.iter().map(|(name, value)| (name, value)));
        // A cargo that runs this program must not hand its own settings down to the guest's build.
        for name in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            command.env_remove(name);
        }
    }
    let progress = Progress::new(false);
    let shown = format!("{program} {}", arguments.join(" "));
    progress.say(shown.clone());
    let output = command.output().with_context(|| format!("cannot run `{shown}` in {}", project.display()))?;
    progress.done();
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed in {} ({}):\n{}", project.display(), output.status, text.trim_end());
    }
    Ok(())
}

/// Turns a core module whose SDK left a description of its world in it into a component; a component stays as it is.
fn componentize(bytes: Vec<u8>) -> Result<Vec<u8>> {
    if !bytes.starts_with(&CORE_MODULE) {
        return Ok(bytes);
    }
    let encoder = ComponentEncoder::default().validate(true).module(&bytes);
    let component = encoder.and_then(|mut encoder| encoder.encode());
    component.context(
        "the core module cannot be turned into a component: build it with a Millrace SDK, which describes its imports \
         and exports in it",
    )
}

/// Writes beside the target first, so that nobody reads half a bundle.
fn write(target: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let folder = target.parent().context("the bundle has no folder")?;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(target)?;
    Ok(())
}
