//! From the bytes of a component to code that runs: a child process compiles, this process loads what the child wrote.
//!
//! Invariants:
//! - A compiler that explodes takes down its child and nothing else: processor time, address space, time and output
//!   of the child are limited.
//! - Only files that a child of this very process wrote are ever loaded: each process has a directory of its own,
//!   that only its user can enter, and a list in memory of what was written there. Nothing outlives the process.

mod cache;
mod child;
mod directory;
mod parent;
mod request;

pub(crate) use cache::{CompileUrgency, Compiler};
pub use child::compile_child_main;
