//! The `millrace` binary: reads the command line and hands over to the command.

mod cli;
mod commands;
mod config;
mod paths;
mod progress;
mod roles;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Standalone(options) => roles::standalone::run(&options),
        Command::JobManager(options) => roles::jobmanager::run(&options),
        Command::TaskManager(options) => roles::taskmanager::run(&options),
        Command::Application(options) => roles::application::run(&options),
        Command::Run(options) => commands::block_on(commands::run::run(options)),
        Command::List(options) => commands::block_on(commands::list::run(options)),
        Command::Info(options) => commands::block_on(commands::info::run(options)),
        Command::Cancel(options) => commands::block_on(commands::cancel::run(options)),
        Command::Savepoint(options) => commands::block_on(commands::savepoint::run(options)),
        Command::Stop(options) => commands::block_on(commands::stop::run(options)),
        Command::Upgrade(options) => commands::block_on(commands::upgrade::run(options)),
        Command::Checkpoints(options) => commands::block_on(commands::checkpoints::run(options)),
        Command::Logs(options) => commands::block_on(commands::logs::run(options)),
        Command::Top(options) => commands::block_on(commands::top::run(options)),
        Command::Cluster(options) => commands::block_on(commands::cluster::run(options)),
        Command::New(options) => commands::new::run(&options),
        Command::Build(options) => commands::build::run(&options),
        Command::Config(options) => commands::config::run(&options),
        Command::CompileComponent => return millrace_sandbox::compile_child_main(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
