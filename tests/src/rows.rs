//! Rows of output folders.

use std::path::Path;

use anyhow::{Context, Result};

/// All rows of the part files of a folder, sorted. Files in progress do not count.
pub fn sorted_rows(folder: &Path) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden {
            rows.extend(std::fs::read_to_string(&path)?.lines().map(str::to_owned));
        }
    }
    rows.sort_unstable();
    Ok(rows)
}

/// Rows that a program prints, sorted.
pub fn sorted_output(program: &Path, arguments: &[&Path]) -> Result<Vec<String>> {
    let output = std::process::Command::new("python3").arg(program).args(arguments).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rows: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    rows.sort_unstable();
    Ok(rows)
}
