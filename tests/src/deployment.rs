//! What is in `deploy/`, and whether the binary takes the command lines that stand there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::repository;

/// A folder of it.
pub fn folder(name: &str) -> PathBuf {
    repository::root().join("deploy").join(name)
}

/// Checks that the binary takes these arguments: its own parser reads them all, and `--help` behind them keeps it from
/// doing anything.
pub fn check_arguments(arguments: &[String]) -> Result<()> {
    let output = Command::new(repository::millrace()?).args(arguments).arg("--help").stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "millrace does not take {arguments:?}: {said}");
    Ok(())
}

/// The options that the binary makes of a configuration file, or of none, as `millrace config` prints them.
pub fn effective_options(file: Option<&str>) -> Result<BTreeMap<String, String>> {
    let place = tempfile::tempdir()?;
    let mut command = Command::new(repository::millrace()?);
    command.arg("config").stdin(Stdio::null());
    if let Some(text) = file {
        let path = place.path().join("millrace.toml");
        std::fs::write(&path, text)?;
        command.arg("--config").arg(path);
    }
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let option = |line: &str| -> Result<(String, String)> {
        let (key, behind) = line.split_once(" = ").with_context(|| format!("no option: {line}"))?;
        // A comment follows the value.
        let value = serde_json::Deserializer::from_str(behind).into_iter().next().context("a value")??;
        Ok((key.to_owned(), value))
    };
    text.lines().map(option).collect()
}

/// The value behind a flag.
pub fn value_of<'a>(arguments: &'a [String], flag: &str) -> Result<&'a str> {
    let at = arguments.iter().position(|argument| argument == flag);
    let value = at.and_then(|at| arguments.get(at + 1));
    value.map(String::as_str).with_context(|| format!("{arguments:?} has no {flag}"))
}
