//! What `millrace top` shows of the looks that it took: the cluster, its jobs, the tasks of one of them, the TaskManagers.

use millrace_client::api::{JobSummary, TaskManagerInfo, VertexSummary};
use millrace_types::{ExecutionState, JobStatus, format_bytes};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState};

use super::look::{Details, Look};
use super::rates::{Looks, Rates};
use crate::progress::{grouped, span};

/// The cells of a bar.
const BAR_CELLS: usize = 10;

/// The characters of an id that tell it from others.
const ID_CHARS: usize = 8;

/// From this width on there is room for all columns.
const WIDE: u16 = 110;

/// The lines of a table that are no rows: its title and its header.
const TABLE_HEAD: u16 = 2;

/// What is shown besides what was seen.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The job whose tasks are shown, by its id.
    pub(super) selected: Option<String>,
    /// Whether jobs that have ended are shown.
    pub(super) all: bool,
    /// Why the cluster was not seen the last time.
    pub(super) trouble: Option<String>,
    /// Whether somebody can press keys.
    pub(super) keys: bool,
}

impl Shown {
    /// The jobs of a look that are shown.
    pub(super) fn jobs<'a>(&self, look: &'a Look) -> Vec<&'a JobSummary> {
        look.jobs.iter().filter(|job| self.all || !job.state.is_terminal()).collect()
    }

    /// The position of the selected job among those that are shown; that of the first one if it is not there.
    pub(super) fn position(&self, jobs: &[&JobSummary]) -> Option<usize> {
        let found = jobs.iter().position(|job| Some(&job.jid) == self.selected.as_ref());
        found.or(if jobs.is_empty() { None } else { Some(0) })
    }
}

/// The lines that all there is to see takes.
pub(super) fn height(look: &Look, shown: &Shown) -> u16 {
    let jobs = shown.jobs(look);
    let selected = shown.position(&jobs).and_then(|at| look.details.get(&jobs[at].jid));
    let vertices = selected.map_or(1, |details| details.job.vertices.len());
    let rows = jobs.len().max(1) + vertices + look.task_managers.len().max(1);
    u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(3 * TABLE_HEAD + HEAD_LINES + u16::from(shown.keys))
}

/// The lines above the tables.
const HEAD_LINES: u16 = 2;

/// Draws it all.
pub(super) fn draw(frame: &mut Frame<'_>, looks: &Looks, shown: &Shown) {
    let Some(look) = looks.newest() else { return };
    let jobs = shown.jobs(look);
    let at = shown.position(&jobs);
    let rows = |rows: usize| u16::try_from(rows.max(1)).unwrap_or(u16::MAX).saturating_add(TABLE_HEAD);
    let area = frame.area();
    let (jobs_max, others_max) = (area.height / 3, area.height / 4);
    let [head, of_jobs, of_tasks, of_task_managers, foot] = Layout::vertical([
        Constraint::Length(HEAD_LINES),
        Constraint::Length(rows(jobs.len()).min(jobs_max.max(5))),
        Constraint::Min(TABLE_HEAD + 1),
        Constraint::Length(rows(look.task_managers.len()).min(others_max.max(4))),
        Constraint::Length(u16::from(shown.keys)),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head_lines(look, shown)), head);
    draw_jobs(frame, of_jobs, looks, look, &jobs, at);
    let selected = at.and_then(|at| jobs.get(at)).copied();
    draw_tasks(frame, of_tasks, looks, look, selected);
    draw_task_managers(frame, of_task_managers, &look.task_managers);
    if shown.keys {
        let text = if shown.all { "hides" } else { "shows" };
        let text = format!("up/down selects a job   a {text} those that have ended   q ends");
        frame.render_widget(Paragraph::new(text).style(Style::new().add_modifier(Modifier::DIM)), foot);
    }
}

fn head_lines(look: &Look, shown: &Shown) -> Vec<Line<'static>> {
    let (overview, group) = (&look.overview, &look.group);
    let from = look.from.trim_start_matches("http://").to_owned();
    let leader = group.leader.map_or_else(|| "nobody leads".to_owned(), |leader| format!("member {leader} leads"));
    let members =
        if group.members.len() > 1 { format!("   {leader}, of {}", group.members.len()) } else { String::new() };
    let slots = format!(
        "   {} TaskManagers   {} of {} slots free",
        overview.taskmanagers, overview.slots_available, overview.slots_total
    );
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let first =
        Line::from(vec![Span::styled("Millrace ", bold), Span::raw(from), Span::raw(members), Span::raw(slots)]);
    let second = match &shown.trouble {
        Some(trouble) => {
            let text = trouble.lines().next().unwrap_or_default().to_owned();
            Line::styled(format!("{text} (asking again; below is what was)"), Style::new().fg(Color::Red))
        }
        None => Line::raw(format!(
            "Jobs: {} unfinished   {} finished   {} cancelled   {} failed",
            overview.jobs_running, overview.jobs_finished, overview.jobs_cancelled, overview.jobs_failed
        )),
    };
    vec![first, second]
}

fn block(title: String) -> Block<'static> {
    Block::new().borders(Borders::TOP).title(title)
}

/// A table's header, whose cells stand over what is below them.
fn header(names: &[&'static str]) -> Row<'static> {
    Row::new(names.to_vec()).style(Style::new().add_modifier(Modifier::BOLD))
}

/// A number at the right end of its column.
fn right(text: impl Into<String>) -> Cell<'static> {
    Cell::from(Line::raw(text.into()).right_aligned())
}

fn draw_jobs(frame: &mut Frame<'_>, area: Rect, looks: &Looks, look: &Look, jobs: &[&JobSummary], at: Option<usize>) {
    if jobs.is_empty() {
        let text = "No job runs: `millrace run BUNDLE` starts one.";
        frame.render_widget(Paragraph::new(text).block(block(" Jobs ".to_owned())), area);
        return;
    }
    let row = |job: &&JobSummary| {
        let details = look.details.get(&job.jid);
        Row::new(vec![
            Cell::from(job.jid.chars().take(ID_CHARS).collect::<String>()),
            Cell::from(job.name.clone()),
            Cell::from(Span::styled(job.state.to_string(), style_of(job.state))),
            right(format!("{}/{}", job.tasks.running, job.tasks.total)),
            right(details.and_then(|details| records_per_second(looks, details)).map_or("-".to_owned(), number)),
            Cell::from(details.map_or_else(String::new, checkpoints)),
            right(span(job.duration)),
        ])
    };
    let widths = [8, 0, 12, 7, 11, 16, 12].map(|width| match width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(width),
    });
    let table = Table::new(jobs.iter().map(row), widths)
        .header(header(&["ID", "NAME", "STATE", "TASKS", "RECORDS/S", "CHECKPOINTS", "SINCE"]))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(block(" Jobs ".to_owned()));
    let mut state = TableState::new().with_selected(at);
    frame.render_stateful_widget(table, area, &mut state);
}

/// Records that a job's tasks hand to each other in a second.
fn records_per_second(looks: &Looks, details: &Details) -> Option<f64> {
    let rates = details.job.vertices.iter().filter_map(|vertex| looks.rates(&details.job.jid, vertex));
    rates.map(|rates| rates.records_out).reduce(|sum, rate| sum + rate)
}

fn checkpoints(details: &Details) -> String {
    let counts = details.checkpoints;
    match (counts.completed, counts.failed) {
        (0, 0) => String::new(),
        (completed, 0) => completed.to_string(),
        (completed, failed) => format!("{completed} ({failed} failed)"),
    }
}

fn style_of(status: JobStatus) -> Style {
    match status {
        JobStatus::Running => Style::new().fg(Color::Green),
        JobStatus::Failed | JobStatus::Failing => Style::new().fg(Color::Red),
        JobStatus::Finished | JobStatus::Canceled => Style::new().add_modifier(Modifier::DIM),
        _ => Style::new().fg(Color::Yellow),
    }
}

fn draw_tasks(frame: &mut Frame<'_>, area: Rect, looks: &Looks, look: &Look, job: Option<&JobSummary>) {
    let Some(job) = job else { return frame.render_widget(block(" Tasks ".to_owned()), area) };
    let mut title = format!(" Tasks of {} ", job.name);
    let Some(details) = look.details.get(&job.jid) else { return frame.render_widget(block(title), area) };
    if let Some(waiting) = &details.job.waiting_for {
        title.push_str(&format!("- {waiting} "));
    }
    let wide = area.width >= WIDE;
    let row = |vertex: &VertexSummary| task_row(vertex, looks.rates(&job.jid, vertex), wide);
    let rows = details.job.vertices.iter().map(row);
    let (names, widths): (Vec<_>, Vec<_>) = columns(wide).into_iter().unzip();
    frame.render_widget(Table::new(rows, widths).header(header(&names)).block(block(title)), area);
}

/// Names and widths. Those that are left out of narrow terminals stand between the others.
fn columns(wide: bool) -> Vec<(&'static str, Constraint)> {
    let bar = Constraint::Length(15);
    let mut columns = vec![("NAME", Constraint::Fill(1)), ("TASKS", Constraint::Length(7))];
    if wide {
        columns.push(("STATE", Constraint::Length(12)));
    }
    columns.extend([("BUSY", bar), ("BACKPRESSURED", bar)]);
    if wide {
        columns.push(("RECORDS IN/S", Constraint::Length(13)));
    }
    columns.push(("RECORDS OUT/S", Constraint::Length(13)));
    if wide {
        columns.push(("OUT/S", Constraint::Length(11)));
    }
    columns
}

fn task_row(vertex: &VertexSummary, rates: Option<Rates>, wide: bool) -> Row<'static> {
    let running = vertex.tasks.get(&ExecutionState::Running).copied().unwrap_or(0);
    let rate = |of: fn(&Rates) -> f64| right(rates.as_ref().map_or("-".to_owned(), |rates| number(of(rates))));
    let bar = |of: fn(&Rates) -> f64, color: Color| {
        rates.as_ref().map_or_else(|| Cell::from("-"), |rates| Cell::from(Span::styled(bar(of(rates)), color)))
    };
    let mut cells = vec![Cell::from(vertex.name.clone()), right(format!("{running}/{}", vertex.parallelism))];
    if wide {
        cells.push(Cell::from(vertex.status.to_string()));
    }
    cells.extend([bar(|rates| rates.busy, Color::Blue), bar(|rates| rates.backpressured, Color::Yellow)]);
    if wide {
        cells.push(rate(|rates| rates.records_in));
    }
    cells.push(rate(|rates| rates.records_out));
    if wide {
        let bytes = rates.map_or("-".to_owned(), |rates| format_bytes(rates.bytes_out as u64));
        cells.push(right(bytes));
    }
    Row::new(cells)
}

fn number(rate: f64) -> String {
    grouped(rate.round() as u64)
}

/// A share as a bar with its percentage.
fn bar(share: f64) -> String {
    let cells = (share * BAR_CELLS as f64).round() as usize;
    let cells = cells.min(BAR_CELLS);
    format!("{}{} {:>3.0}%", "█".repeat(cells), "░".repeat(BAR_CELLS - cells), share * 100.0)
}

fn draw_task_managers(frame: &mut Frame<'_>, area: Rect, task_managers: &[TaskManagerInfo]) {
    let title = block(" TaskManagers ".to_owned());
    if task_managers.is_empty() {
        let text = "None: `millrace taskmanager` starts one, and jobs wait for it.";
        return frame.render_widget(Paragraph::new(text).block(title), area);
    }
    let row = |found: &TaskManagerInfo| {
        let hardware = &found.hardware;
        Row::new(vec![
            Cell::from(found.id.clone()),
            right(format!("{} of {}", found.free_slots, found.slots_number)),
            right(found.assigned_tasks.to_string()),
            right(hardware.cpu_cores.to_string()),
            right(format_bytes(hardware.free_memory)),
            right(format_bytes(hardware.physical_memory)),
        ])
    };
    let widths = [0, 10, 7, 6, 12, 12].map(|width| match width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(width),
    });
    let names = ["ID", "FREE SLOTS", "TASKS", "CORES", "FREE MEMORY", "MEMORY"];
    frame.render_widget(Table::new(task_managers.iter().map(row), widths).header(header(&names)).block(title), area);
}
