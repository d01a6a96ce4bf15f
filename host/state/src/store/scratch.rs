//! Keyed entries in a scratch file, larger than memory.
//!
//! Changes go to a buffer in memory. When it is full, or when it is sealed, it is frozen, and moves to the file with the
//! calls that follow, some entries with each. Reads look into the buffer, the frozen one, and the file.
//!
//! Invariants:
//! - While changes are tracked, the buffer has exactly those since the last freeze; whoever freezes it sees to it that they
//!   become a segment.
//! - In memory are two buffers and the file's cache, none larger than its share of the budget, but for one call's changes.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millrace_wire::Change;
use redb::{AccessGuard, Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use crate::address::Space;
use crate::error::Refusal;
use crate::limits::StateLimits;
use crate::store::ScanRange;
use crate::store::buffer::{Buffer, place, split_place};
use crate::store::disk::ScratchFile;
use crate::store::table::check_entry;

const ENTRIES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("entries");

/// How many frozen entries move to the file with each call, at least.
const MOVED_MIN: usize = 512;

/// What a scratch file may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchOptions {
    /// Where the file is; it has no name there and nothing is left of it, however the process ends. Segments that are cut
    /// before a checkpoint are there too.
    pub folder: PathBuf,
    /// What buffers and cache take together, in bytes: some MiB, for less makes it slow. A quarter is for changes since
    /// the last seal: beyond it a segment is cut early.
    pub memory_bytes: u64,
    /// The file's largest length, in bytes.
    pub disk_bytes_max: u64,
}

/// The entries in the file at one moment.
pub(crate) type Picture = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The tables of all keyed states.
pub(crate) struct ScratchStore {
    spaces: Vec<Space>,
    buffer: Buffer,
    frozen: Option<Arc<Buffer>>,
    /// The last place of the frozen buffer that is in the file.
    moved: Option<Vec<u8>>,
    /// `None`: a transaction failed.
    picture: Option<Arc<Picture>>,
    database: Database,
    disk_bytes: Arc<AtomicU64>,
    disk_bytes_max: u64,
    buffer_bytes_max: usize,
    folder: PathBuf,
}

impl std::fmt::Debug for ScratchStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScratchStore")
            .field("spaces", &self.spaces)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Says what was tried when the file failed.
fn failed<E: Into<redb::Error>>(call: &'static str) -> impl Fn(E) -> Refusal {
    move |error| Refusal::Scratch { call, cause: error.into().to_string() }
}

impl ScratchStore {
    pub(crate) fn open(options: &ScratchOptions) -> Result<Self, Refusal> {
        let io = |error: std::io::Error| Refusal::Scratch { call: "creating", cause: error.to_string() };
        let (file, disk_bytes) = ScratchFile::create(&options.folder).map_err(io)?;
        let memory = usize::try_from(options.memory_bytes).unwrap_or(usize::MAX);
        let database = redb::Builder::new().set_cache_size(memory / 2).create_with_backend(file);
        let mut store = Self {
            spaces: Vec::new(),
            buffer: Buffer::default(),
            frozen: None,
            moved: None,
            picture: None,
            database: database.map_err(failed("creating"))?,
            disk_bytes,
            disk_bytes_max: options.disk_bytes_max,
            buffer_bytes_max: memory / 4,
            folder: options.folder.clone(),
        };
        // Creates the table.
        store.write([].into_iter())?;
        Ok(store)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn add(&mut self, space: Space) -> usize {
        self.spaces.push(space);
        self.spaces.len() - 1
    }

    fn place(&self, table: usize, slot: usize, key: &[u8]) -> Vec<u8> {
        let group = self.spaces.get(table).map_or(0, |space| space.group(slot).0);
        place(table, group, key)
    }

    /// Whether the buffer has its share of the memory, and more should not come.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.bytes() >= self.buffer_bytes_max
    }

    pub(crate) fn get<R>(
        &self,
        table: usize,
        slot: usize,
        key: &[u8],
        show: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Refusal> {
        let place = self.place(table, slot, key);
        if let Some(known) = self.buffered_value(&place) {
            return Ok(show(known));
        }
        let stored = self.stored(&place)?;
        Ok(show(stored.as_ref().map(AccessGuard::value)))
    }

    fn buffered_value(&self, place: &[u8]) -> Option<Option<&[u8]>> {
        self.buffer.get(place).or_else(|| self.frozen.as_ref().and_then(|frozen| frozen.get(place)))
    }

    fn stored(&self, place: &[u8]) -> Result<Option<AccessGuard<'static, &'static [u8]>>, Refusal> {
        self.picture()?.get(place).map_err(failed("reading"))
    }

    fn picture(&self) -> Result<&Arc<Picture>, Refusal> {
        let gone = || Refusal::Scratch { call: "reading", cause: "an earlier call failed".to_owned() };
        self.picture.as_ref().ok_or_else(gone)
    }

    pub(crate) fn scan(
        &self,
        table: usize,
        range: ScanRange<'_>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Refusal> {
        let ScanRange { slots, prefix, after } = range;
        if slots.is_empty() {
            return Ok(());
        }
        if prefix.is_empty() {
            // All key groups lie next to each other.
            let from = match after {
                Some((slot, key)) => self.place(table, slot, key),
                None => self.place(table, *slots.start(), &[]),
            };
            let from = if after.is_some() { Bound::Excluded(&from[..]) } else { Bound::Included(&from[..]) };
            self.visit(from, &(table as u32).to_be_bytes(), visit)?;
            return Ok(());
        }
        for slot in slots {
            let begin = self.place(table, slot, prefix);
            let behind = after.filter(|(first, after)| slot == *first && *after >= prefix);
            let behind = behind.map(|(slot, after)| self.place(table, slot, after));
            let from = behind.as_ref().map_or(Bound::Included(&begin[..]), |behind| Bound::Excluded(&behind[..]));
            if !self.visit(from, &begin, visit)? {
                break;
            }
        }
        Ok(())
    }

    /// Visits what is there now from a place on whose places begin with `prefix`; false: `visit` stopped it.
    fn visit(
        &self,
        from: Bound<&[u8]>,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<bool, Refusal> {
        let mut buffered = self.buffer.range(from, prefix).peekable();
        let mut frozen = self.frozen.iter().flat_map(|frozen| frozen.range(from, prefix)).peekable();
        let stored = self.picture()?.range::<&[u8]>((from, Bound::Unbounded)).map_err(failed("reading"))?;
        let mut stored = stored.map(|entry| entry.map_err(failed("reading"))).peekable();
        loop {
            if matches!(stored.peek(), Some(Err(_))) {
                return stored.next().map_or(Ok(true), |failed| failed.map(|_| true));
            }
            let next = stored.peek().and_then(|entry| entry.as_ref().ok());
            let next = next.filter(|(place, _)| place.value().starts_with(prefix));
            let places = [buffered.peek().map(|(place, _)| *place), frozen.peek().map(|(place, _)| *place)];
            let least = places.into_iter().flatten().chain(next.map(|(place, _)| place.value())).min();
            let Some(least) = least else { return Ok(true) };
            // A later one hides those below.
            let [in_buffer, in_frozen] = places.map(|place| place == Some(least));
            let in_file = next.is_some_and(|(place, _)| place.value() == least);
            let value = if in_buffer {
                buffered.peek().and_then(|(_, value)| *value)
            } else if in_frozen {
                frozen.peek().and_then(|(_, value)| *value)
            } else {
                next.map(|(_, value)| value.value())
            };
            let more = value.is_none_or(|value| visit(split_place(least).1, value));
            if !more {
                return Ok(false);
            }
            if in_buffer {
                buffered.next();
            }
            if in_frozen {
                frozen.next();
            }
            if in_file {
                stored.next();
            }
        }
    }

    pub(crate) fn change(
        &mut self,
        table: usize,
        slot: usize,
        key: &[u8],
        change: Change<'_>,
        limits: &StateLimits,
    ) -> Result<(), Refusal> {
        let place = self.place(table, slot, key);
        match change {
            Change::Delete => self.buffer.set(&place, None),
            Change::Set(bytes) => {
                check_entry(key, bytes.len(), limits)?;
                self.buffer.set(&place, Some(bytes));
            }
            Change::Append(bytes) => {
                let old = match self.buffered_value(&place) {
                    Some(known) => known.map_or(0, <[u8]>::len),
                    None => self.stored(&place)?.map_or(0, |value| value.value().len()),
                };
                check_entry(key, old + bytes.len(), limits)?;
                if !self.buffer.append(&place, bytes) {
                    let mut value = Vec::with_capacity(old + bytes.len());
                    self.get(table, slot, key, |old| value.extend_from_slice(old.unwrap_or_default()))?;
                    value.extend_from_slice(bytes);
                    self.buffer.set(&place, Some(&value));
                }
            }
            Change::DeletePrefix => {
                let mut keys = Vec::new();
                self.visit(Bound::Included(&place), &place, &mut |key, _| {
                    keys.push(key.to_vec());
                    true
                })?;
                for key in keys {
                    let place = self.place(table, slot, &key);
                    self.buffer.set(&place, None);
                }
            }
        }
        Ok(())
    }

    /// Makes the buffer immutable and begins another one. `None`: there were no changes.
    pub(crate) fn freeze(&mut self) -> Result<Option<Arc<Buffer>>, Refusal> {
        self.move_frozen(usize::MAX)?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let frozen = Arc::new(std::mem::take(&mut self.buffer));
        self.frozen = Some(Arc::clone(&frozen));
        Ok(Some(frozen))
    }

    /// All entries as they are now: the buffer must be empty.
    pub(crate) fn take_picture(&mut self) -> Result<(Arc<Picture>, u64), Refusal> {
        debug_assert!(self.buffer.is_empty(), "frozen before");
        self.move_frozen(usize::MAX)?;
        Ok((Arc::clone(self.picture()?), self.disk_bytes.load(Ordering::Relaxed)))
    }

    /// Moves some of the frozen entries to the file: more than one call changes, so that they are there in time.
    pub(crate) fn move_some(&mut self, changed: usize) -> Result<(), Refusal> {
        self.move_frozen(changed.saturating_mul(4).max(MOVED_MIN))
    }

    fn move_frozen(&mut self, count: usize) -> Result<(), Refusal> {
        let Some(frozen) = self.frozen.clone() else { return Ok(()) };
        let moved = self.moved.take();
        let from = moved.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        let mut left = 0;
        let entries = frozen.range(from, &[]).take(count).inspect(|(place, _)| {
            last = Some(*place);
            left += 1;
        });
        self.write(entries)?;
        if left < count {
            self.frozen = None;
        } else {
            self.moved = last.map(<[u8]>::to_vec);
        }
        let max = self.disk_bytes_max;
        if self.disk_bytes.load(Ordering::Relaxed) > max { Err(Refusal::DiskTooLarge { max }) } else { Ok(()) }
    }

    fn write<'a>(&mut self, entries: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Result<(), Refusal> {
        // What only an old picture needs cannot be used again as long as there is one.
        self.picture = None;
        let mut transaction = self.database.begin_write().map_err(failed("writing"))?;
        transaction.set_durability(Durability::None).map_err(failed("writing"))?;
        {
            let mut table = transaction.open_table(ENTRIES).map_err(failed("writing"))?;
            for (place, value) in entries {
                match value {
                    Some(value) => table.insert(place, value).map_err(failed("writing"))?,
                    None => table.remove(place).map_err(failed("writing"))?,
                };
            }
        }
        transaction.commit().map_err(failed("writing"))?;
        let reading = self.database.begin_read().map_err(failed("reading"))?;
        self.picture = Some(Arc::new(reading.open_table(ENTRIES).map_err(failed("reading"))?));
        Ok(())
    }
}
