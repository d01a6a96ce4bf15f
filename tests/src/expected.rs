//! What nexmark's queries must give, by `tests/expected/nexmark.py`, and whether they gave it: record for record.
//!
//! Running counts must all be there, each once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::repository;

/// How many missing and surplus rows are named.
const NAMED_MAX: usize = 5;

/// Held while rows are computed.
static COMPUTING: Mutex<()> = Mutex::new(());

/// The rows of a query over so many records.
pub struct Expected {
    query: String,
    rows: Vec<String>,
}

impl Expected {
    /// Has the rows computed, or reads those of an earlier run of the same program.
    pub fn of(query: &str, records: u64, events_per_second: u64) -> Result<Self> {
        let program = repository::root().join("tests/expected/nexmark.py");
        let digest = Sha256::digest(fs::read(&program)?);
        let version: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let folder = repository::programs()?.with_file_name("tmp").join("expected");
        let cached = folder.join(format!("{query}-{records}-{events_per_second}-{version}"));
        {
            // Several tests want the same rows, and one of them computes them.
            let _one_at_a_time = COMPUTING.lock().unwrap_or_else(PoisonError::into_inner);
            if !cached.exists() {
                fs::create_dir_all(&folder)?;
                compute(&program, query, records, events_per_second, &cached)?;
            }
        }
        let rows: Vec<String> = fs::read_to_string(&cached)?.lines().map(str::to_owned).collect();
        ensure!(!rows.is_empty(), "{query} has no rows over {records} records: nothing could be compared");
        Ok(Self { query: query.to_owned(), rows })
    }

    /// Whether these are the rows, in any order; if not, the error names some of those that are missing and those that
    /// are too many. Returns how many there are.
    pub fn compare(&self, mut found: Vec<String>) -> Result<usize> {
        found.sort_unstable();
        let mut expected = match self.query.as_str() {
            "wc" => every_count(&self.rows)?,
            _ => self.rows.clone(),
        };
        expected.sort_unstable();
        if expected != found {
            bail!("{} gave {} rows of {}: {}", self.query, found.len(), expected.len(), difference(&expected, &found));
        }
        Ok(found.len())
    }
}

fn compute(program: &Path, query: &str, records: u64, events_per_second: u64, cached: &Path) -> Result<()> {
    let numbers = [records.to_string(), events_per_second.to_string()];
    let output = Command::new("python3").arg(program).arg(query).args(numbers).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Another process may compute the same: whoever is last wins, with the same rows.
    let unfinished = cached.with_extension(std::process::id().to_string());
    fs::write(&unfinished, output.stdout)?;
    Ok(fs::rename(unfinished, cached)?)
}

/// The counts on the way to the last ones.
fn every_count(rows: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for row in rows {
        let (word, last) = row.split_once(',').with_context(|| format!("not a count: {row}"))?;
        let last: u64 = last.parse()?;
        all.extend((1..=last).map(|count| format!("{word},{count}")));
    }
    Ok(all)
}

/// Names rows of one sorted list that are not in the other.
fn difference(expected: &[String], found: &[String]) -> String {
    let (missing, surplus) = (without(expected, found), without(found, expected));
    let name = |rows: &[&String]| {
        let named: Vec<&str> = rows.iter().take(NAMED_MAX).map(|row| row.as_str()).collect();
        format!("{} ({}{})", rows.len(), named.join("; "), if rows.len() > NAMED_MAX { "; …" } else { "" })
    };
    format!("missing {}, too many {}", name(&missing), name(&surplus))
}

/// What is left of a sorted list after each row of the other is taken out once.
fn without<'a>(rows: &'a [String], others: &[String]) -> Vec<&'a String> {
    let mut others = others.iter().peekable();
    let mut left = Vec::new();
    for row in rows {
        while others.next_if(|other| *other < row).is_some() {}
        if others.next_if(|other| *other == row).is_none() {
            left.push(row);
        }
    }
    left
}

/// All rows of a folder of committed files. A file that is hidden is one that was never committed, and is an error: a job
/// that has finished leaves none behind.
pub fn committed_rows(folder: &Path) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path: PathBuf = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        ensure!(!hidden, "{} was left behind", path.display());
        rows.extend(fs::read_to_string(&path)?.lines().map(str::to_owned));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn expected(query: &str, rows: &[&str]) -> Expected {
        Expected { query: query.to_owned(), rows: strings(rows) }
    }

    fn strings(rows: &[&str]) -> Vec<String> {
        rows.iter().map(|row| (*row).to_owned()).collect()
    }

    #[test]
    fn a_row_that_is_lost_doubled_or_wrong_is_named() {
        let expected = expected("q8", &["1,a,2", "1,a,2", "3,b,4"]);
        assert_eq!(expected.compare(strings(&["3,b,4", "1,a,2", "1,a,2"])).unwrap(), 3);
        let error = |found: &[&str]| expected.compare(strings(found)).unwrap_err().to_string();
        assert!(error(&["3,b,4", "1,a,2"]).contains("missing 1 (1,a,2), too many 0"));
        assert!(error(&["3,b,4", "1,a,2", "1,a,2", "3,b,4"]).contains("too many 1 (3,b,4)"));
        assert!(error(&["3,b,5", "1,a,2", "1,a,2"]).contains("missing 1 (3,b,4), too many 1 (3,b,5)"));
    }

    #[test]
    fn every_running_count_is_there_once() {
        let expected = expected("wc", &["a,2", "b,1"]);
        assert!(expected.compare(strings(&["b,1", "a,1", "a,2"])).is_ok());
        assert!(expected.compare(strings(&["b,1", "a,2", "a,2"])).is_err());
        assert!(expected.compare(strings(&["b,1", "a,2"])).is_err());
    }
}
