//! The examples give the expected rows, at every parallelism, and with their instances thrown away at random.

use std::path::{Path, PathBuf};

use anyhow::Result;
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::{repository, rows};

/// Seeds of the runs that throw instances away. A failing one is in the assertion's text and replays.
const DISCARD_SEEDS: [Option<u64>; 2] = [None, Some(20_261_122)];

async fn gives_the_expected_rows(name: &str, program: &str, inputs: &[PathBuf]) -> Result<()> {
    gives_the_expected_rows_with(name, program, inputs, &[]).await
}

/// The same with more arguments of the run.
async fn gives_the_expected_rows_with(name: &str, program: &str, inputs: &[PathBuf], more: &[&str]) -> Result<()> {
    let program = repository::root().join("tests/expected").join(program);
    let expected = rows::sorted_output(&program, &inputs.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    assert!(!expected.is_empty());
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "4"])?;
    let bundle = repository::bundle(name)?;
    for parallelism in [1, 2, 4] {
        for discard_seed in DISCARD_SEEDS {
            let output = folder.path().join(format!("rows-{parallelism}-{discard_seed:?}"));
            let args = [more, &arguments(inputs, &output)].concat();
            let run = Run { args, parallelism, discard_seed, ..Run::default() };
            let job = cluster.run(&bundle, run).await?;
            cluster.wait_finished(&job).await?;
            let found = rows::sorted_rows(&output)?;
            assert!(
                found == expected,
                "{name}, parallelism {parallelism}, seed {discard_seed:?}: {} rows, expected {}; first difference: {:?}",
                found.len(),
                expected.len(),
                found.iter().zip(&expected).find(|(found, expected)| found != expected)
            );
        }
    }
    Ok(())
}

fn arguments<'a>(inputs: &'a [PathBuf], output: &'a Path) -> Vec<&'a str> {
    let mut arguments = Vec::new();
    for input in inputs {
        arguments.extend(["--input", input.to_str().unwrap()]);
    }
    arguments.extend(["--output", output.to_str().unwrap()]);
    arguments
}

/// Real text, and text that is none of it: several scripts, digits, marks, odd line ends.
fn texts(folder: &Path) -> Result<Vec<PathBuf>> {
    let odd = folder.join("odd.txt");
    std::fs::write(
        &odd,
        "Straße STRASSE ÉCOLE école 東京 東京 Ⅷ 42nd don't\r\n\n_under_score_ İstanbul ΣΑΣ a\u{301}\nno end",
    )?;
    Ok(vec![repository::data("text/persuasion.txt")?, repository::data("text/emma.txt")?, odd])
}

#[tokio::test]
async fn wordcount() -> Result<()> {
    let folder = tempfile::tempdir()?;
    gives_the_expected_rows("wordcount", "wordcount.py", &texts(folder.path())?).await
}

#[tokio::test]
async fn wordcount_js() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let inputs = texts(folder.path())?;
    gives_the_expected_rows("wordcount-js", "wordcount.py", &inputs[1..]).await
}

#[tokio::test]
async fn flights() -> Result<()> {
    gives_the_expected_rows("flights", "flights.py", &[repository::data("flights.csv")?]).await
}

#[tokio::test]
async fn flights_by_hour() -> Result<()> {
    let inputs = [repository::data("flights.csv")?];
    gives_the_expected_rows_with("flights", "flights_hourly.py", &inputs, &["--hourly"]).await
}
