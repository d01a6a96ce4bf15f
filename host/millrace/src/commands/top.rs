//! `millrace top`: the cluster, its jobs and their tasks in a terminal, looked at again and again.

mod draw;
mod look;
mod rates;
mod terminal;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use millrace_client::{Client, ClientError, ClientOptions};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::cli::Top;
use crate::commands::{print_json, resolve_job};
use crate::progress::println_stdout;
use draw::{Shown, draw, height};
use look::Look;
use rates::Looks;
use terminal::Taken;

/// How often the cluster is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time between the two looks of `--once`.
const ONCE_INTERVAL: Duration = Duration::from_millis(1_500);

/// The width of what is printed where no terminal says how wide it is.
const PRINTED_WIDTH: u16 = 120;

/// How long a request may take, and be sent again while nobody leads, before the screen says so.
const REQUEST_TIMEOUT_MS: u64 = 5_000;
const RETRY_TIMEOUT_MS: u64 = 2_000;

/// Keys that were pressed and not looked at.
const KEYS_MAX: usize = 64;

/// How long the thread that reads keys waits for one before it looks whether it is to end.
const KEY_POLL: Duration = Duration::from_millis(100);

pub(crate) async fn run(options: Top) -> Result<()> {
    let patience = ClientOptions {
        request_timeout_ms: REQUEST_TIMEOUT_MS,
        retry_timeout_ms: RETRY_TIMEOUT_MS,
        ..ClientOptions::default()
    };
    let client = Client::new(&options.cluster.jobmanager, &patience)?;
    let selected = match &options.job {
        Some(job) => Some(resolve_job(&client, job).await?),
        None => None,
    };
    let mut shown = Shown { all: options.all || selected.is_some(), selected, ..Shown::default() };
    let mut looks = Looks::default();
    // Before the terminal is taken: whoever mistyped the address reads why.
    looks.add(Look::take(&client, shown.selected.as_deref()).await?);
    if options.cluster.json {
        let jobs: Vec<_> =
            looks.newest().into_iter().flat_map(|look| look.details.values()).map(|of| &of.job).collect();
        let look = looks.newest().context("nothing was seen")?;
        return print_json(&serde_json::json!({
            "overview": look.overview, "members": look.group, "taskmanagers": look.task_managers, "jobs": jobs
        }));
    }
    if options.once || !std::io::stdout().is_terminal() {
        tokio::time::sleep(ONCE_INTERVAL).await;
        looks.add(Look::take(&client, shown.selected.as_deref()).await?);
        return print(&looks, &shown);
    }
    shown.keys = true;
    watch(&client, looks, shown).await
}

/// Prints what the screen would show if it were long enough.
fn print(looks: &Looks, shown: &Shown) -> Result<()> {
    let look = looks.newest().context("nothing was seen")?;
    let width = crossterm::terminal::size().map_or(PRINTED_WIDTH, |(width, _)| width.max(80));
    // Tables get shares of the height: three times what they need is enough for each.
    let mut terminal = Terminal::new(TestBackend::new(width, height(look, shown).saturating_mul(4)))?;
    terminal.draw(|frame| draw(frame, looks, shown))?;
    let lines = lines_of(terminal.backend());
    let mut blank = true;
    for line in lines {
        // The room that a table left is not printed.
        if !line.is_empty() || !blank {
            println_stdout(&line);
        }
        blank = line.is_empty();
    }
    Ok(())
}

/// What was drawn, as lines.
fn lines_of(backend: &TestBackend) -> Vec<String> {
    let buffer = backend.buffer();
    let width = usize::from(buffer.area.width).max(1);
    let line = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    buffer.content().chunks(width).map(|cells| line(cells).trim_end().to_owned()).collect()
}

/// Shows the cluster until somebody ends it.
async fn watch(client: &Client, mut looks: Looks, mut shown: Shown) -> Result<()> {
    let mut signals = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()]
        .map(signal)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .context("cannot watch for signals")?;
    let mut taken = Taken::new()?;
    let mut keys = read_keys();
    let mut clock = tokio::time::interval(INTERVAL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looking: Option<JoinHandle<Result<Look, ClientError>>> = None;
    loop {
        taken.terminal.draw(|frame| draw(frame, &looks, &shown))?;
        let [terminate, hangup, interrupt] = signals.as_mut_slice() else { return Ok(()) };
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            event = keys.recv() => match event {
                Some(event) => if obey(&event, &looks, &mut shown) == Next::End {
                    return Ok(());
                },
                None => return Ok(()),
            },
            _ = clock.tick(), if looking.is_none() => {
                let (client, selected) = (client.clone(), shown.selected.clone());
                looking = Some(tokio::spawn(async move { Look::take(&client, selected.as_deref()).await }));
            }
            seen = seen(&mut looking) => match seen {
                Ok(look) => {
                    shown.trouble = None;
                    looks.add(look);
                }
                Err(trouble) => shown.trouble = Some(trouble),
            },
        }
    }
}

/// Waits for the look that is being taken; for ever if there is none.
async fn seen(looking: &mut Option<JoinHandle<Result<Look, ClientError>>>) -> Result<Look, String> {
    let Some(handle) = looking else { return std::future::pending().await };
    let seen = handle.await;
    *looking = None;
    seen.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Keys and changes of size, read on a thread of their own, which ends with the receiver.
fn read_keys() -> mpsc::Receiver<Event> {
    let (sender, keys) = mpsc::channel(KEYS_MAX);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            match crossterm::event::poll(KEY_POLL) {
                Ok(false) => (),
                Ok(true) => match crossterm::event::read() {
                    Ok(event) => {
                        let _ = sender.blocking_send(event);
                    }
                    Err(_) => return,
                },
                // The terminal is gone, and the command ends with its keys.
                Err(_) => return,
            }
        }
    });
    keys
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Draw,
    End,
}

/// Does what a key says; anything else, such as another size, has the screen drawn anew.
fn obey(event: &Event, looks: &Looks, shown: &mut Shown) -> Next {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = event else {
        return Next::Draw;
    };
    let step = match code {
        KeyCode::Char('q') | KeyCode::Esc => return Next::End,
        KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => return Next::End,
        KeyCode::Char('a') => {
            shown.all = !shown.all;
            return Next::Draw;
        }
        KeyCode::Down | KeyCode::Char('j') => 1,
        KeyCode::Up | KeyCode::Char('k') => -1,
        _ => return Next::Draw,
    };
    if let Some(look) = looks.newest() {
        let jobs = shown.jobs(look);
        let to = shown.position(&jobs).map(|at| at.saturating_add_signed(step).min(jobs.len().saturating_sub(1)));
        shown.selected = to.and_then(|to| jobs.get(to)).map(|job| job.jid.clone());
    }
    Next::Draw
}
