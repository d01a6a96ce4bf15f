//! A whole TaskManager, driven by messages alone.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod control;
mod graphs;
mod guests;
mod jobs;
mod processes;
mod relay;
mod splits;
mod support;

/// The compile child of these tests: this very program, told by the environment. Without it, a test that passes.
#[test]
#[allow(clippy::disallowed_methods, reason = "the exit code has to pass the test harness")]
fn compile_child() {
    if std::env::var_os("MILLRACE_COMPILE_REQUEST").is_some() {
        let code = millrace_sandbox::compile_child_main();
        std::process::exit(if code == std::process::ExitCode::SUCCESS { 0 } else { 3 });
    }
}
