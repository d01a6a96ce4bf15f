//! The layers of ARCHITECTURE.md, as cargo sees them.

use std::process::Command;

use anyhow::{Result, ensure};
use millrace_tests::repository;

/// The crates that hold control logic or plain data.
const CORES: [&str; 9] = [
    "millrace-types",
    "millrace-graph",
    "millrace-wire",
    "millrace-protocol",
    "millrace-rest-api",
    "millrace-job-core",
    "millrace-resource-core",
    "millrace-metadata-core",
    "millrace-task-core",
];

/// What would let them do IO, read a clock, or be random.
const FORBIDDEN: [&str; 10] =
    ["tokio", "wasmtime", "openraft", "redb", "tonic", "axum", "hyper", "rand", "object_store", "async-std"];

/// The layers, bottom up; a crate may use those of lower layers, and the cores those of their own above `types`.
const LAYERS: [&[&str]; 7] = [
    &["types"],
    &["graph", "wire", "protocol", "rest-api"],
    &["job-core", "resource-core", "metadata-core", "task-core"],
    &["state", "storage", "metadata", "network", "sandbox", "connectors"],
    &["jobmanager", "taskmanager"],
    &["rest", "client"],
    &["cli"],
];

/// What a package depends on, by name: with all that its dependencies bring, or only what it names itself.
fn dependencies(package: &str, deep: bool) -> Result<Vec<String>> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(repository::root());
    command.args([
        "tree",
        "--locked",
        "--offline",
        "-e",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "-p",
        package,
    ]);
    if !deep {
        command.args(["--depth", "1"]);
    }
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let names = text.lines().skip(1).filter_map(|line| line.split(' ').next()).map(str::to_owned);
    Ok(names.collect())
}

#[test]
fn cores_can_do_no_io() -> Result<()> {
    for core in CORES {
        for name in dependencies(core, true)? {
            assert!(!FORBIDDEN.contains(&name.as_str()), "{core} depends on {name}");
        }
    }
    Ok(())
}

#[test]
fn arrows_point_down() -> Result<()> {
    let layer_of = |name: &str| {
        let short = name.strip_prefix("millrace-")?;
        LAYERS.iter().position(|layer| layer.contains(&short))
    };
    for (level, layer) in LAYERS.iter().enumerate() {
        for name in *layer {
            let package = format!("millrace-{name}");
            for used in dependencies(&package, false)? {
                let Some(used_level) = layer_of(&used) else { continue };
                // protocol carries the graph's types.
                let within = package == "millrace-protocol" && used == "millrace-graph";
                assert!(used_level < level || within, "{package} uses {used}, which is not below it");
            }
        }
    }
    Ok(())
}

/// Every crate of the workspace has its place in the layers.
#[test]
fn no_crate_is_forgotten() -> Result<()> {
    for entry in std::fs::read_dir(repository::root().join("host"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let name = if name == "millrace" { "cli" } else { &name };
        assert!(LAYERS.iter().any(|layer| layer.contains(&name)), "host/{name} is in no layer");
    }
    Ok(())
}
