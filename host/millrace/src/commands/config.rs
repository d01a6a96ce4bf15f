//! `millrace config`: the effective configuration.

use anyhow::Result;
use millrace_jobmanager::{CHECKPOINT_OPTIONS, RESTART_OPTIONS, RUN_OPTIONS, SCHEDULER_OPTIONS};

use crate::cli::Config;
use crate::config::{Configuration, OPTIONS};
use crate::progress::println_stdout;

pub(crate) fn run(options: &Config) -> Result<()> {
    let configuration = Configuration::load(options.config.config.as_deref(), &options.config.define)?;
    for spec in OPTIONS {
        if options.describe {
            println_stdout(&format!("# {}", spec.description));
        }
        let text = serde_json::to_string(configuration.shown(spec))?;
        let assignment = format!("{} = {text}", spec.key);
        println_stdout(&format!("{assignment:<56} # {}", configuration.origin(spec.key)));
    }
    if options.describe {
        println_stdout("\n# Options of a run (`millrace run -D KEY=VALUE`):");
        for (key, description) in RUN_OPTIONS {
            println_stdout(&format!("# {key}: {description}"));
        }
        let restart = RESTART_OPTIONS.iter().map(|option| option.key);
        let scheduler = SCHEDULER_OPTIONS.iter().map(|option| option.key);
        for key in restart.chain(scheduler).chain(CHECKPOINT_OPTIONS.iter().map(|option| option.key)) {
            println_stdout(&format!("# {key}: as above"));
        }
    }
    Ok(())
}
