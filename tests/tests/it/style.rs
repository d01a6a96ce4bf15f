//! The habits that a machine can check: the lengths of files and functions, modules that say what they are for, and
//! nothing left for a reader to trip on.

use std::path::{Path, PathBuf};

use anyhow::Result;
use millrace_tests::repository;

/// The longest source file.
const FILE_LINES_MAX: usize = 500;

/// Words that mark something unfinished.
const UNFINISHED: [&str; 4] = ["TODO", "FIXME", "todo!(", "unimplemented!("];

fn sources() -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["host", "sdk", "guest-examples", "tests"].iter().map(|name| repository::root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules") {
                folders.push(path);
            } else if name.ends_with(".rs") {
                sources.push(path);
            }
        }
    }
    Ok(sources)
}

fn text_of(path: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(path)?)
}

#[test]
fn files_stay_short_and_say_what_they_are_for() -> Result<()> {
    let mut wrong = Vec::new();
    let mut lengths = Vec::new();
    for path in sources()? {
        let text = text_of(&path)?;
        let lines = text.lines().count();
        lengths.push(lines);
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{} has {lines} lines", path.display()));
        }
        if path.file_name().is_some_and(|name| name == "mod.rs") {
            wrong.push(format!("{}: modules are files of their own name", path.display()));
        }
        if !text.starts_with("//!") && !text.starts_with("#![doc = include_str!") {
            wrong.push(format!("{} does not begin with what it is for", path.display()));
        }
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(median <= 160, "the median file has {median} lines");
    Ok(())
}

#[test]
fn nothing_is_left_unfinished() -> Result<()> {
    for path in sources()? {
        if path.ends_with("style.rs") {
            continue;
        }
        let text = text_of(&path)?;
        for (number, line) in text.lines().enumerate() {
            let found = UNFINISHED.iter().find(|word| line.contains(*word));
            assert!(found.is_none(), "{}:{}: {line}", path.display(), number + 1);
        }
    }
    Ok(())
}
