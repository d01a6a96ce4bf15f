//! `millrace top` on a real terminal: it shows a job, obeys keys, and leaves the terminal as it was, however it ends.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::repository;

/// What a program says that leaves its own screen and shows the cursor again.
const LEAVES: [&str; 2] = ["\u{1b}[?1049l", "\u{1b}[?25h"];

/// A shell on a terminal of its own, which util-linux's `script` makes.
struct Terminal {
    script: Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Runs commands in a terminal of 100 by 30 characters.
    fn run(commands: &str) -> Result<Self> {
        let commands = format!("stty cols 100 rows 30; {commands}");
        let mut script = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &commands, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("`script` of util-linux cannot be run")?;
        let (mut output, shown) = (script.stdout.take().context("its output")?, Arc::<Mutex<String>>::default());
        let text = shown.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Ok(Self { script, shown })
    }

    /// Waits until this is shown, and gives all that was shown so far.
    fn wait_for(&self, text: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown.lock().unwrap().clone();
            if shown.contains(text) {
                return Ok(shown);
            }
            if Instant::now() > deadline {
                bail!("\"{text}\" is not shown: {shown:?}");
            }
            std::thread::park_timeout(POLL);
        }
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        let input = self.script.stdin.as_mut().context("its input")?;
        input.write_all(keys.as_bytes())?;
        Ok(input.flush()?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[tokio::test]
async fn it_shows_a_job_and_leaves_the_terminal_as_it_was() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "2"])?;
    let run = Run { args: vec!["unbounded"], ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    cluster.wait_running(&job).await?;
    let top = format!("{} top -m {}", repository::millrace()?.display(), cluster.address());
    let id = job.get(..8).context("an id")?;

    let printed = Command::new("sh").args(["-c", &format!("{top} --once {id}")]).output()?;
    let text = String::from_utf8(printed.stdout)?;
    ensure!(printed.status.success() && text.contains("1 of 2 slots free") && text.contains(id), "{text}");
    ensure!(text.contains('%') && !text.contains('\u{1b}'), "{text}");

    // A key ends it, a signal does, and so does the cluster's absence at its start.
    let mut by_key = Terminal::run(&format!("{top}; echo ended:$?; stty -a; echo over"))?;
    by_key.wait_for(id)?;
    by_key.press("q")?;
    let by_signal = Terminal::run(&format!("sh -c 'echo pid:$$:; exec {top}'; echo ended:$?; stty -a; echo over"))?;
    let shown = by_signal.wait_for(id)?;
    let pid = shown.split("pid:").nth(1).and_then(|rest| rest.split(':').next()).context("a process id")?;
    ensure!(Command::new("kill").args(["-TERM", pid]).status()?.success());
    for terminal in [&by_key, &by_signal] {
        let shown = terminal.wait_for("over\r")?;
        ensure!(shown.contains("ended:0") && shown.contains(" icanon ") && shown.contains(" echo "), "{shown:?}");
        let ended = shown.find("ended:").unwrap_or_default();
        ensure!(LEAVES.iter().all(|leaves| shown.rfind(leaves).is_some_and(|at| at < ended)), "{shown:?}");
    }
    drop(cluster);
    let without = Terminal::run(&format!("{top}; echo ended:$?; echo over"))?;
    let shown = without.wait_for("over\r")?;
    ensure!(shown.contains("no answer from the cluster") && shown.contains("ended:1"), "{shown:?}");
    ensure!(!shown.contains("\u{1b}[?1049h"), "the terminal was taken for nothing: {shown:?}");
    Ok(())
}
