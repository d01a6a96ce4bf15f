//! The compile child: limits itself, reads a component, compiles it, writes the code, ends.

use std::fs::File;
use std::io::{Read, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, nice, setrlimit};

use super::request::{Request, VARIABLE};
use crate::engine::compile_engine;

/// The stack of the thread that compiles: deeply nested code makes the compiler recurse deeply.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// What the hidden subcommand runs in a process of its own, before that starts anything else: compiles the component
/// on standard input as the environment says. The caller ends with the code that this returns.
///
/// Its first act is to limit the whole process; do not call it in one that has other work to do.
#[must_use]
pub fn compile_child_main() -> ExitCode {
    let thread = std::thread::Builder::new().name("compile".to_owned());
    let result = match request().and_then(|request| limit(&request).map(|()| request)) {
        Ok(request) => match thread.stack_size(STACK_BYTES).spawn(move || compile(&request)) {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err("the compiler panicked".to_owned())),
            Err(error) => Err(format!("no thread: {error}")),
        },
        Err(message) => Err(message),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // The parent reads this; should it be gone, there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::from(super::parent::REFUSED_EXIT_CODE)
        }
    }
}

fn request() -> Result<Request, String> {
    let value = std::env::var(VARIABLE).map_err(|_| format!("{VARIABLE} is not set: this is no command for people"))?;
    Request::from_value(&value).ok_or_else(|| format!("{VARIABLE} is not readable"))
}

fn limit(request: &Request) -> Result<(), String> {
    let limits = [
        (Resource::Core, 0, 0),
        // The signal of the soft limit tells the parent what happened; the hard one ends a child that ignores it.
        (Resource::Cpu, request.cpu_seconds_max, request.cpu_seconds_max.saturating_add(1)),
        (Resource::As, request.address_space_bytes_max, request.address_space_bytes_max),
        (Resource::Fsize, request.artifact_bytes_max, request.artifact_bytes_max),
    ];
    for (resource, soft, hard) in limits {
        let limit = Rlimit { current: Some(soft), maximum: Some(hard) };
        setrlimit(resource, limit).map_err(|error| format!("the limit {resource:?} cannot be set: {error}"))?;
    }
    if request.niceness > 0 {
        nice(request.niceness).map_err(|error| format!("its priority cannot be lowered: {error}"))?;
    }
    Ok(())
}

fn compile(request: &Request) -> Result<(), String> {
    let mut component = Vec::new();
    let mut input = std::io::stdin().lock().take(request.component_bytes_max.saturating_add(1));
    input.read_to_end(&mut component).map_err(|error| format!("the component cannot be read: {error}"))?;
    if component.len() as u64 > request.component_bytes_max {
        return Err(format!("the component has more than {} bytes", request.component_bytes_max));
    }
    let engine = compile_engine().map_err(|error| format!("no engine: {error:#}"))?;
    let artifact = engine.precompile_component(&component).map_err(|error| format!("{error:#}"))?;
    write(request, &artifact).map_err(|error| format!("{}: {error}", request.output.display()))
}

/// Writes the file under another name first, so that the parent never sees half a one.
fn write(request: &Request, artifact: &[u8]) -> std::io::Result<()> {
    let temporary = request.output.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(artifact)?;
    file.sync_all()?;
    std::fs::rename(&temporary, &request.output)
}
