//! The units in `deploy/systemd`: systemd finds nothing wrong with them, and the binary takes their command lines.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use millrace_tests::deployment::{self, value_of};
use millrace_tests::repository;

const UNITS: [(&str, &str, Option<&str>); 3] = [
    ("millrace-jobmanager.service", "jobmanager", Some("jobmanager.env")),
    ("millrace-taskmanager.service", "taskmanager", Some("taskmanager.env")),
    ("millrace-native.service", "jobmanager", None),
];

/// What keeps a service to itself, each with the value that does.
const HARDENING: [(&str, &str); 9] = [
    ("DynamicUser", "yes"),
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallFilter", "@system-service"),
];

type Unit = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn read(name: &str) -> Result<String> {
    let path = deployment::folder("systemd").join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Sections, keys and values of a unit.
fn parse(text: &str) -> Result<Unit> {
    let mut unit = Unit::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix('[').and_then(|line| line.strip_suffix(']')), line.split_once('=')) {
            (Some(name), _) => name.clone_into(&mut section),
            (None, Some((key, value))) if !section.is_empty() => {
                let keys = unit.entry(section.clone()).or_default();
                keys.entry(key.to_owned()).or_default().push(value.to_owned());
            }
            _ => bail!("\"{line}\" is nothing that a unit has"),
        }
    }
    Ok(unit)
}

fn only<'a>(unit: &'a Unit, section: &str, key: &str) -> Result<&'a str> {
    let values =
        unit.get(section).and_then(|keys| keys.get(key)).with_context(|| format!("no {key} in [{section}]"))?;
    ensure!(values.len() == 1, "{key} is there {} times", values.len());
    Ok(&values[0])
}

/// The variables of an environment file.
fn environment(name: &str) -> Result<BTreeMap<String, String>> {
    let text = read(name)?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.split_once('=').with_context(|| format!("\"{line}\" sets nothing"))?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// The arguments that a unit starts the binary with, as systemd makes them.
fn arguments(unit: &Unit, variables: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let line = only(unit, "Service", "ExecStart")?.replace("%S", "/var/lib");
    let mut words = line.split(' ').map(|word| match word.strip_prefix("${").and_then(|word| word.strip_suffix('}')) {
        Some(name) => variables.get(name).cloned().with_context(|| format!("no variable {name}")),
        None => Ok(word.to_owned()),
    });
    assert_eq!(words.next().context("a program")??, "/usr/bin/millrace");
    words.collect()
}

#[test]
fn the_binary_takes_what_the_units_start_it_with() -> Result<()> {
    let defaults = deployment::effective_options(None)?;
    for (name, role, environment_file) in UNITS {
        let unit = parse(&read(name)?)?;
        let variables = environment_file.map(environment).transpose()?.unwrap_or_default();
        let arguments = arguments(&unit, &variables)?;
        assert_eq!(arguments[0], role, "{name}");
        deployment::check_arguments(&arguments)?;
        if let Some(file) = environment_file {
            assert_eq!(only(&unit, "Service", "EnvironmentFile")?, format!("/etc/millrace/{file}"));
            let used: Vec<&String> = variables.keys().filter(|name| !unit_uses(&unit, name)).collect();
            assert!(used.is_empty(), "{file} sets {used:?}, which {name} does not use");
        }
        if role == "jobmanager" {
            for (flag, option) in [("--rpc", "jobmanager.rpc.port"), ("--listen", "rest.port")] {
                let (_, port) = value_of(&arguments, flag)?.rsplit_once(':').context("a port")?;
                assert_eq!(port, defaults[option], "{name}: {flag}");
            }
        }
        // What it may write: its own state, and what all processes share.
        let state = only(&unit, "Service", "StateDirectory")?;
        assert_eq!(value_of(&arguments, "--data-dir")?, format!("/var/lib/{state}"));
        assert_eq!(value_of(&arguments, "--file-root")?, only(&unit, "Service", "ReadWritePaths")?);
    }
    Ok(())
}

fn unit_uses(unit: &Unit, variable: &str) -> bool {
    unit["Service"]["ExecStart"].iter().any(|line| line.contains(&format!("${{{variable}}}")))
}

#[test]
fn jobmanagers_and_taskmanagers_agree_on_their_addresses() -> Result<()> {
    let (managers, workers) = (environment("jobmanager.env")?, environment("taskmanager.env")?);
    let peers: Result<Vec<(&str, &str)>> =
        managers["PEERS"].split(',').map(|peer| peer.split_once('=').context("ID=HOST:PORT:PORT")).collect();
    let peers = peers?;
    assert!(peers.iter().any(|(id, _)| *id == managers["MEMBER_ID"]), "{} is not in {peers:?}", managers["MEMBER_ID"]);
    let rpc: Option<Vec<&str>> = peers.iter().map(|(_, at)| at.rsplit_once(':').map(|(rpc, _)| rpc)).collect();
    assert_eq!(rpc.context("REST ports")?.join(","), workers["JOB_MANAGERS"]);
    Ok(())
}

#[test]
fn the_options_file_has_options_alone() -> Result<()> {
    let options = deployment::effective_options(Some(&read("millrace.toml")?))?;
    let unit = parse(&read("millrace-jobmanager.service")?)?;
    assert_eq!(options["high-availability.storageDir"], only(&unit, "Service", "ReadWritePaths")?);
    Ok(())
}

#[test]
fn services_are_kept_to_themselves_and_come_back() -> Result<()> {
    for (name, _, _) in UNITS {
        let unit = parse(&read(name)?)?;
        assert_eq!(unit.keys().collect::<Vec<_>>(), ["Install", "Service", "Unit"], "{name}");
        for (key, value) in HARDENING {
            assert_eq!(only(&unit, "Service", key)?, value, "{name}: {key}");
        }
        // Components become machine code in the process.
        assert!(!unit["Service"].contains_key("MemoryDenyWriteExecute"), "{name}");
        assert_eq!(only(&unit, "Service", "Restart")?, "on-failure", "{name}");
        let files: u32 = only(&unit, "Service", "LimitNOFILE")?.parse()?;
        assert!(files >= 65_536, "{name}: {files} files");
    }
    // Its TaskManagers are to outlive it.
    let native = parse(&read("millrace-native.service")?)?;
    assert_eq!(only(&native, "Service", "KillMode")?, "process");
    Ok(())
}

/// On machines that have it, systemd itself reads the units: it knows every key.
#[test]
fn systemd_finds_nothing_wrong() -> Result<()> {
    let program = "/usr/bin/systemd-analyze";
    if !std::path::Path::new(program).exists() {
        println!("there is no {program} on this machine");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let binary = repository::millrace()?.canonicalize()?;
    let mut paths = Vec::new();
    for (name, _, _) in UNITS {
        let path = folder.path().join(name);
        std::fs::write(&path, read(name)?.replace("/usr/bin/millrace", &binary.to_string_lossy()))?;
        paths.push(path);
    }
    let output = Command::new(program).args(["verify", "--man=no"]).args(paths).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("millrace")).collect();
    assert!(ours.is_empty(), "{said}");
    Ok(())
}
