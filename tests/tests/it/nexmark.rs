//! The rows of Nexmark's queries and of the word count, beside those of a computation that shares no code with the example.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use millrace_tests::cluster::Cluster;
use millrace_tests::jobs::{Jobs, Run};
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use sha2::{Digest, Sha256};

/// How many events there are.
const EVENTS: &str = "5000000";
/// How many sentences there are.
const SENTENCES: &str = "200000";

/// The number of rows, and the sum of what each hashes to: the same for the same rows in any order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    rows: u64,
    sum: u64,
}

impl Summary {
    fn add(&mut self, row: &str) {
        let hash = Sha256::digest(row.as_bytes());
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
    }
}

fn expected(query: &str, records: &str) -> Result<Summary> {
    let program = repository::root().join("tests/expected/nexmark.py");
    let output = Command::new("python3").arg(program).args([query, records, "--digest"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let (rows, sum) = text.trim().split_once(' ').context("no digest")?;
    Ok(Summary { rows: rows.parse()?, sum: sum.parse()? })
}

/// Looks at each row of the files of a folder.
fn each_row(folder: &Path, mut look: impl FnMut(&str) -> Result<()>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        ensure!(!path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')), "{}", path.display());
        for row in BufReader::new(std::fs::File::open(path)?).lines() {
            look(&row?)?;
        }
    }
    Ok(())
}

fn found(query: &str, folder: &Path) -> Result<Summary> {
    let mut summary = Summary::default();
    if query != "wc" {
        each_row(folder, |row| {
            summary.add(row);
            Ok(())
        })?;
        return Ok(summary);
    }
    // Counts are emitted as they run: each word's largest is what can be compared.
    let mut largest: BTreeMap<String, u64> = BTreeMap::new();
    each_row(folder, |row| {
        let (word, count) = row.split_once(',').with_context(|| format!("not a count: {row}"))?;
        let count: u64 = count.parse()?;
        match largest.get_mut(word) {
            Some(known) => *known = count.max(*known),
            None => {
                largest.insert(word.to_owned(), count);
            }
        }
        Ok(())
    })?;
    largest.iter().for_each(|(word, count)| summary.add(&format!("{word},{count}")));
    Ok(summary)
}

/// The same rows at every parallelism, in one process and in three.
async fn gives_the_expected_rows(query: &str, records: &str) -> Result<()> {
    let expected = expected(query, records)?;
    assert!(expected.rows > 0);
    let folder = tempfile::tempdir()?;
    let one = Cluster::start(folder.path(), &["--slots", "4"])?;
    let three = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let clusters: [(&str, &Jobs); 2] = [("one process", &one), ("three processes", &three)];
    for (place, cluster) in clusters {
        for parallelism in [1, 2, 4] {
            let output = folder.path().join("rows");
            let path = output.to_str().context("a path that is no text")?;
            let args = vec!["--query", query, "--events", records, "--output", path];
            let bundle = repository::bundle("nexmark")?;
            let job = cluster.run(&bundle, Run { args, parallelism, ..Run::default() }).await?;
            cluster.wait_finished(&job).await?;
            assert_eq!(found(query, &output)?, expected, "{query} at parallelism {parallelism} in {place}");
            // Hundreds of megabytes.
            std::fs::remove_dir_all(&output)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn q1() -> Result<()> {
    gives_the_expected_rows("q1", EVENTS).await
}

#[tokio::test]
async fn q2() -> Result<()> {
    gives_the_expected_rows("q2", EVENTS).await
}

#[tokio::test]
async fn q5() -> Result<()> {
    gives_the_expected_rows("q5", EVENTS).await
}

#[tokio::test]
async fn q7() -> Result<()> {
    gives_the_expected_rows("q7", EVENTS).await
}

#[tokio::test]
async fn q8() -> Result<()> {
    gives_the_expected_rows("q8", EVENTS).await
}

#[tokio::test]
async fn wc() -> Result<()> {
    gives_the_expected_rows("wc", SENTENCES).await
}
