//! Runs a compile child and explains how it ended.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::request::{Request, VARIABLE};
use crate::error::ComponentError;
use crate::options::{CompileLimits, CompilerCommand};

/// How a child ends that has said on standard error why it does not compile the component.
pub(super) const REFUSED_EXIT_CODE: u8 = 3;
/// What is kept of what a child says, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// The signals that say which limit was hit.
const SIGNAL_ABORT: i32 = 6;
const SIGNAL_KILL: i32 = 9;
const SIGNAL_SEGMENT: i32 = 11;
const SIGNAL_CPU: i32 = 24;
const SIGNAL_FILE_SIZE: i32 = 25;

/// Compiles `component` into the file that the request names.
pub(super) async fn run(
    command: &CompilerCommand,
    limits: &CompileLimits,
    request: &Request,
    component: &[u8],
) -> Result<(), ComponentError> {
    let mut child = start(command, request)?;
    // Dropping the child kills it.
    match tokio::time::timeout(limits.wall_time_max, feed(&mut child, component)).await {
        Ok(Ok((status, message))) => judge(status, &message, limits),
        Ok(Err(error)) => Err(compiler(format!("the compile child cannot be talked to: {error}"))),
        Err(_) => {
            let limit = format!("{} s (taskmanager.sandbox.compile.timeout)", limits.wall_time_max.as_secs());
            Err(ComponentError::CompileLimit { limit })
        }
    }
}

fn compiler(message: String) -> ComponentError {
    ComponentError::Compiler { message }
}

fn start(command: &CompilerCommand, request: &Request) -> Result<Child, ComponentError> {
    let value = request.to_value().ok_or_else(|| compiler(format!("{} is not UTF-8", request.output.display())))?;
    Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .env(VARIABLE, value)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| compiler(format!("{} cannot be started: {error}", command.program.display())))
}

/// Hands over the component, reads what the child says and waits for its end, all at the same time.
async fn feed(child: &mut Child, component: &[u8]) -> std::io::Result<(ExitStatus, String)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A child that hit a limit no longer reads; how it ended says more than the broken pipe.
            let _ = stdin.write_all(component).await;
        }
    };
    let read = async {
        let mut message = Vec::new();
        if let Some(mut stderr) = stderr {
            (&mut stderr).take(MESSAGE_BYTES_MAX as u64).read_to_end(&mut message).await?;
            // What is more is read too, or the child would wait for it forever.
            tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
        }
        std::io::Result::Ok(message)
    };
    let ((), message) = tokio::join!(write, read);
    let status = child.wait().await?;
    Ok((status, String::from_utf8_lossy(&message?).trim().to_owned()))
}

fn judge(status: ExitStatus, message: &str, limits: &CompileLimits) -> Result<(), ComponentError> {
    let limit = |limit: String| Err(ComponentError::CompileLimit { limit });
    let memory =
        format!("{} bytes of address space (taskmanager.sandbox.compile.memory)", limits.address_space_bytes_max);
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) if code == i32::from(REFUSED_EXIT_CODE) => {
            // Reserving memory is not always fatal to the compiler: it may report it like any other error.
            let of_memory = ["Cannot allocate memory", "out of memory", "memory allocation of"];
            if of_memory.iter().any(|text| message.contains(text)) {
                return limit(memory);
            }
            Err(ComponentError::Compile { message: message.to_owned() })
        }
        (_, Some(SIGNAL_CPU | SIGNAL_KILL)) => limit(format!(
            "{} s of processor time (taskmanager.sandbox.compile.cpu), or the system ran out of memory",
            limits.cpu_seconds_max
        )),
        (_, Some(SIGNAL_ABORT)) if message.contains("memory allocation of") => limit(memory),
        (_, Some(SIGNAL_SEGMENT | SIGNAL_ABORT)) => {
            limit(format!("the compiler's stack or {memory}; it said: {message}"))
        }
        (_, Some(SIGNAL_FILE_SIZE)) => {
            limit(format!("{} bytes of compiled code (taskmanager.sandbox.compile.output)", limits.artifact_bytes_max))
        }
        _ => Err(compiler(format!("the compile child ended with {status}: {message}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_child_has_its_meaning() {
        let limits = CompileLimits { cpu_seconds_max: 7, ..CompileLimits::default() };
        let signal = |signal: i32, message: &str| judge(ExitStatus::from_raw(signal), message, &limits);
        let exit = |code: i32, message: &str| judge(ExitStatus::from_raw(code << 8), message, &limits);
        let text =
            |result: Result<(), ComponentError>| result.map_or_else(|error| error.to_string(), |()| String::new());
        assert_eq!(exit(0, ""), Ok(()));
        assert_eq!(exit(3, "no threads"), Err(ComponentError::Compile { message: "no threads".to_owned() }));
        assert!(text(signal(SIGNAL_CPU, "")).contains("more than 7 s of processor time"));
        assert!(text(signal(SIGNAL_ABORT, "memory allocation of 9 bytes failed")).contains("address space"));
        assert!(text(exit(3, "x: Cannot allocate memory (os error 12)")).contains("address space"));
        assert!(text(signal(SIGNAL_FILE_SIZE, "")).contains("compiled code"));
        assert!(matches!(exit(101, "panicked"), Err(ComponentError::Compiler { .. })));
    }
}
