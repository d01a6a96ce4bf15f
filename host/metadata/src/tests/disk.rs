//! A disk in memory that fails, or loses its power, at a chosen step.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

/// Writes of this size are whole or absent after a crash.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Resize { len: usize },
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, data } => {
            if image.len() < offset + data.len() {
                image.resize(offset + data.len(), 0);
            }
            image[*offset..offset + data.len()].copy_from_slice(data);
        }
        Change::Resize { len } => image.resize(*len, 0),
    }
}

/// When the disk misbehaves; steps are writes, resizes and syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Never,
    /// This step and all later ones fail.
    PowerLoss {
        step: u64,
    },
    /// This step fails; the later ones succeed.
    OneError {
        step: u64,
    },
}

#[derive(Debug, Default)]
struct Inner {
    synced: Vec<u8>,
    /// What was changed since the last sync, in order.
    pending: Vec<Change>,
    /// What a read sees.
    current: Vec<u8>,
    steps: u64,
    syncs: u64,
    /// The power is off: every step fails.
    cut: bool,
}

/// A clone is the same disk.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    inner: Arc<Mutex<Inner>>,
    fault: Fault,
}

impl Disk {
    pub(super) fn with_image(image: Vec<u8>, fault: Fault) -> Self {
        let inner = Inner { synced: image.clone(), current: image, ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(inner)), fault }
    }

    /// Turns the power off.
    pub(super) fn cut(&self) {
        self.inner.lock().unwrap().cut = true;
    }

    pub(super) fn syncs(&self) -> u64 {
        self.inner.lock().unwrap().syncs
    }

    pub(super) fn steps(&self) -> u64 {
        self.inner.lock().unwrap().steps
    }

    /// What a process finds that opens the disk while the power stays on.
    pub(super) fn image(&self) -> Vec<u8> {
        self.inner.lock().unwrap().current.clone()
    }

    /// What is found after the power was lost: what was synced, and a random part of what was not.
    pub(super) fn image_after_power_loss(&self, seed: u64) -> Vec<u8> {
        let inner = self.inner.lock().unwrap();
        let mut image = inner.synced.clone();
        let mut random = seed.wrapping_mul(2).wrapping_add(1);
        let mut survives = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Seed 0 loses all, seed 1 nothing.
            seed == 1 || (seed > 1 && random.is_multiple_of(2))
        };
        for change in &inner.pending {
            match change {
                Change::Resize { .. } => {
                    if survives() {
                        apply(&mut image, change);
                    }
                }
                Change::Write { offset, data } => {
                    let mut at = 0;
                    while at < data.len() {
                        let end = data.len().min((offset + at) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - offset);
                        if survives() {
                            apply(&mut image, &Change::Write { offset: offset + at, data: data[at..end].to_vec() });
                        }
                        at = end;
                    }
                }
            }
        }
        image
    }

    fn step(&self) -> io::Result<std::sync::MutexGuard<'_, Inner>> {
        let mut inner = self.inner.lock().unwrap();
        let step = inner.steps;
        inner.steps += 1;
        let fails = match self.fault {
            Fault::Never => false,
            Fault::PowerLoss { step: fatal } => step >= fatal,
            Fault::OneError { step: failing } => step == failing,
        };
        let fails = fails || inner.cut;
        if fails { Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full")) } else { Ok(inner) }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut inner = self.step()?;
        apply(&mut inner.current, &change);
        inner.pending.push(change);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.inner.lock().unwrap();
        let found = inner.current.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Resize { len: len as usize })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.step()?;
        inner.syncs += 1;
        inner.synced = inner.current.clone();
        inner.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write { offset: offset as usize, data: data.to_vec() })
    }
}
