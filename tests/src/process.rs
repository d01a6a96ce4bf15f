//! A process of Millrace that says on standard output where it listens.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::repository;

/// How long anything may take before a test gives up. Generous: machines are slow and busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
pub const POLL: Duration = Duration::from_millis(20);

/// A process; killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
    /// What it said when it was up.
    pub announcement: String,
}

impl Process {
    /// Starts `millrace` with these arguments and waits until it says that it is up. Its output and log go to files in
    /// `folder` that begin with `name`.
    pub fn start(folder: &Path, name: &str, arguments: &[String]) -> Result<Self> {
        let (output, log) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.log")));
        let mut command = bound_to_this_thread(&repository::millrace()?);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::options().create(true).append(true).open(&log)?);
        let child = command.spawn().with_context(|| format!("cannot start {arguments:?}"))?;
        let mut process = Self { child, log, announcement: String::new() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&output)?;
            if let Some((line, _)) = text.split_once('\n') {
                process.announcement = line.to_owned();
                return Ok(process);
            }
            if !process.is_alive() || Instant::now() > deadline {
                bail!("{arguments:?} did not start: {}", process.log()?);
            }
            std::thread::park_timeout(POLL);
        }
    }

    /// The word behind another one in what it said when it was up.
    pub fn announced(&self, behind: &str) -> Result<String> {
        let word = self.announcement.split(behind).nth(1).and_then(|rest| rest.split_whitespace().next());
        let word = word.with_context(|| format!("\"{}\" names nothing behind \"{behind}\"", self.announcement))?;
        Ok(word.trim_end_matches('.').to_owned())
    }

    /// What it has logged.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has of memory that is its own, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Whether it is still there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal("TERM")?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it has ended by itself; whether it says that all went well.
    pub fn wait(&mut self) -> Result<bool> {
        Ok(self.child.wait()?.success())
    }

    /// Stops it where it stands, without its knowing.
    pub fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Lets none of its files grow beyond so many bytes, as a full disk would; `None`: as large as they want.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        let limits = Rlimit { current: bytes, maximum: None };
        prlimit(Some(pid), Resource::Fsize, limits).context("the file sizes of a process could not be limited")?;
        Ok(())
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string()).status()?;
        if !sent.success() {
            bail!("SIG{signal} could not be sent to process {}", self.id());
        }
        Ok(())
    }
}

/// A command whose process dies with the thread that starts it, however that ends. Not all machines have `setpriv`:
/// without it, processes outlive a test that is killed.
fn bound_to_this_thread(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.kill();
    }
}
