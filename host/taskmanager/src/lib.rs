//! Slots, the task runner, deadlines of calls, reports.
