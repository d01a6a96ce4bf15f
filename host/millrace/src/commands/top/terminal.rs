//! The terminal while `millrace top` has it.
//!
//! Invariant: however the command ends, but by SIGKILL, the terminal is as it was before: the guard gives it back when it is
//! dropped, which an error and a panic do, and signals end the command in an orderly way.

use std::io::{Stdout, stdout};

use anyhow::{Context, Result};
use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

/// The terminal, taken over until this is dropped.
pub(super) struct Taken {
    pub(super) terminal: Terminal<CrosstermBackend<Stdout>>,
    _guard: Guard,
}

struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

impl Taken {
    pub(super) fn new() -> Result<Self> {
        enable_raw_mode().context("the terminal does not give single keys: use --once")?;
        let guard = Guard;
        execute!(stdout(), EnterAlternateScreen).context("the terminal cannot be drawn on: use --once")?;
        let terminal =
            Terminal::new(CrosstermBackend::new(stdout())).context("the terminal has no size: use --once")?;
        Ok(Self { terminal, _guard: guard })
    }
}
