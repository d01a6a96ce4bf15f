//! The command line as a developer uses it: `new`, `build`, `info`, `run`, `list`, `logs`, `cancel`, `config`.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::{repository, rows};
use serde_json::Value;

fn millrace(folder: &Path, arguments: &[&str]) -> Result<Output> {
    let output = Command::new(repository::millrace()?).current_dir(folder).args(arguments).output()?;
    Ok(output)
}

fn succeeds(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = millrace(folder, arguments)?;
    ensure!(output.status.success(), "millrace {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn fails(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = millrace(folder, arguments)?;
    ensure!(!output.status.success(), "millrace {arguments:?} succeeded");
    Ok(String::from_utf8(output.stderr)?)
}

/// `millrace new` makes a project that passes its own test, builds, and runs on a cluster; building it again gives the
/// same bytes.
#[tokio::test]
async fn a_new_project_tests_builds_and_runs_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    succeeds(folder.path(), &["new", "word-lengths"])?;
    let project = folder.path().join("word-lengths");
    // What the examples were built with is on this machine already; a project of a user's own fetches the newest.
    std::fs::copy(repository::root().join("guest-examples/Cargo.lock"), project.join("Cargo.lock"))?;
    let tested = Command::new("cargo").current_dir(&project).arg("test").output()?;
    ensure!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    succeeds(&project, &["build"])?;
    let bundle = project.join("target/bundles/word-lengths.mrb");
    let first = std::fs::read(&bundle)?;
    succeeds(&project, &["build"])?;
    assert!(std::fs::read(&bundle)? == first, "the same input gave other bytes");
    std::fs::write(project.join("in.txt"), "one two two\n")?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let run = [
        "run",
        "-m",
        &cluster.address(),
        "target/bundles/word-lengths.mrb",
        "--",
        "--input",
        "in.txt",
        "--output",
        "out",
    ];
    let printed = succeeds(&project, &run)?;
    assert!(printed.contains("finished"), "{printed}");
    assert_eq!(rows::sorted_rows(&project.join("out"))?, ["one,1", "two,2"]);
    Ok(())
}

#[tokio::test]
async fn commands_speak_to_people_and_to_scripts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let address = cluster.address();
    let at = folder.path();
    let job = cluster.run(&repository::bundle("faulty")?, Run { args: vec!["unbounded"], ..Run::default() }).await?;
    let listed: Value = serde_json::from_str(&succeeds(at, &["list", "--json", "-m", &address])?)?;
    assert_eq!(listed["jobs"][0]["jid"], job.as_str());
    assert!(succeeds(at, &["list", "-m", &address])?.contains(&job));
    assert!(succeeds(at, &["list", "--bundles", "-m", &address])?.contains("faulty.mrb"));
    assert!(succeeds(at, &["cancel", "-m", &address, &job[..8]])?.contains("CANCELED"));
    assert!(succeeds(at, &["list", "-m", &address])?.contains("No jobs."));
    assert!(succeeds(at, &["list", "-a", "-m", &address])?.contains("CANCELED"));
    let bundle = repository::bundle("faulty")?;
    let error = fails(at, &["run", "-m", &address, bundle.to_str().unwrap(), "--", "panic-at-1000"])?;
    assert!(error.contains("panicked at record 1000") && error.contains("breaks"), "{error}");
    let error = fails(at, &["run", "-m", "127.0.0.1:1", bundle.to_str().unwrap()])?;
    assert!(error.contains("millrace standalone"), "{error}");
    let error = fails(at, &["cancel", "-m", &address, "ffff"])?;
    assert!(error.contains("millrace list"), "{error}");
    Ok(())
}

#[test]
fn info_shows_the_plan_without_a_cluster() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("in.txt"), "a\n")?;
    let bundle = repository::bundle("wordcount-js")?.canonicalize()?;
    let arguments = ["info", "-p", "4", bundle.to_str().unwrap(), "--", "--input", "in.txt", "--output", "out"];
    let printed = succeeds(folder.path(), &arguments)?;
    for text in ["wordcount-js", "splitter", "2 vertices, 4 slots", "Source: lines", "by HASH"] {
        assert!(printed.contains(text), "\"{text}\" is missing in:\n{printed}");
    }
    let json = ["info", "--json", bundle.to_str().unwrap(), "--", "--input", "in.txt", "--output", "out"];
    let plan: Value = serde_json::from_str(&succeeds(folder.path(), &json)?)?;
    assert_eq!(plan["plan"]["nodes"].as_array().map(Vec::len), Some(2));
    let error = fails(folder.path(), &["info", bundle.to_str().unwrap()])?;
    assert!(error.contains("--input"), "{error}");
    Ok(())
}

#[test]
fn mistakes_on_the_command_line_say_what_to_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    assert!(fails(at, &["new", "Bad Name"])?.contains("lower-case"));
    assert!(fails(at, &["build"])?.contains("millrace new"));
    assert!(fails(at, &["config", "-D", "rest.prot=1"])?.contains("rest.port"));
    assert!(succeeds(at, &["config", "-D", "rest.port=1"])?.contains("rest.port = \"1\""));
    std::fs::write(at.join("millrace.toml"), "[application]\nname = \"x\"\nversion = \"1\"\nenrty = \"x\"\n")?;
    assert!(fails(at, &["build"])?.contains("enrty"));
    Ok(())
}
