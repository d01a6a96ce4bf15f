//! The clock that ends slices: a thread that advances the engine's epoch while guests run, and sleeps otherwise, so
//! that an idle process stays idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How many ticks the thread goes on when no guest runs: calls in quick succession need not wake it.
const IDLE_TICKS: u32 = 50;

#[derive(Debug)]
struct Shared {
    running_calls: AtomicUsize,
    parked: AtomicBool,
    stop: AtomicBool,
}

/// The clock's handle. The thread ends behind it.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    /// Keeps the thread's end from being waited for: it follows within a tick.
    _handle: JoinHandle<()>,
}

/// A call that needs the clock.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running_calls.fetch_sub(1, Ordering::Release);
    }
}

impl Ticker {
    pub(crate) fn start(engine: &Engine, tick: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running_calls: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let (of_thread, engine) = (Arc::clone(&shared), engine.weak());
        let handle = std::thread::Builder::new()
            .name("millrace-epoch".to_owned())
            .spawn(move || run(&of_thread, &engine, tick))?;
        Ok(Self { shared, thread: handle.thread().clone(), _handle: handle })
    }

    /// Keeps the clock running until the answer is dropped.
    pub(crate) fn run_call(&self) -> Running<'_> {
        self.shared.running_calls.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.shared)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

#[allow(clippy::disallowed_methods, reason = "a thread of its own, whose whole work is to sleep")]
fn run(shared: &Shared, engine: &EngineWeak, tick: Duration) {
    let mut idle_ticks = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        std::thread::sleep(tick);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        drop(engine);
        idle_ticks = if shared.running_calls.load(Ordering::SeqCst) == 0 { idle_ticks + 1 } else { 0 };
        if idle_ticks > IDLE_TICKS {
            park(shared);
            idle_ticks = 0;
        }
    }
}

/// Sleeps until a call begins. The flag is raised before the calls are counted again, and a call is counted before it
/// looks at the flag, so that one of the two always sees the other.
fn park(shared: &Shared) {
    shared.parked.store(true, Ordering::SeqCst);
    while shared.running_calls.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
        std::thread::park();
    }
    shared.parked.store(false, Ordering::SeqCst);
}
