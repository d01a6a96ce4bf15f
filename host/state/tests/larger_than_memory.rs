//! Ten times more state than memory: put, sealed, merged, restored and read, within the budget. A process of its own, since
//! it looks at what the process takes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use millrace_state::{
    BackendOptions, FileSource, KeyedBackend, MergeOptions, MergePolicy, ScratchOptions, SegmentChain, SegmentInput,
    StateDescriptor, StateId, StateLimits, Storage, merge, state_key,
};
use millrace_types::{KeyGroupRange, StateKind};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView, Change, read_scan, read_values};

const MEMORY_BYTES: u64 = 8 * 1024 * 1024;
/// What the allocator, the stacks and the batches of the test itself take.
const SLACK_BYTES: u64 = 6 * 1024 * 1024;
const ENTRIES: u32 = 84_000;
const VALUE_BYTES: usize = 1000;
const BATCH: u32 = 50;
const KEY_GROUPS: KeyGroupRange = KeyGroupRange { start: 0, end: 127 };

/// What the process has of memory that is its own, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

struct Watch {
    before: u64,
    most: u64,
}

impl Watch {
    fn look(&mut self) {
        self.most = self.most.max(resident_bytes().saturating_sub(self.before));
    }
}

fn open() -> KeyedBackend {
    let scratch =
        ScratchOptions { folder: std::env::temp_dir(), memory_bytes: MEMORY_BYTES, disk_bytes_max: 1024 * 1024 * 1024 };
    let storage = Storage::Redb(scratch);
    let options =
        BackendOptions { storage, key_groups: KEY_GROUPS, max_parallelism: 128, limits: StateLimits::default() };
    let mut backend = KeyedBackend::open(options).unwrap();
    backend.set_tracking(true);
    backend
}

fn open_state(backend: &mut KeyedBackend) -> StateId {
    let state = StateDescriptor {
        uid: "op".to_owned(),
        name: "s".to_owned(),
        fingerprint: "bytes".to_owned(),
        kind: StateKind::Keyed,
        expires: false,
    };
    backend.open_segment([state]).unwrap().resolve(0).unwrap()
}

fn key(at: u32) -> Vec<u8> {
    state_key(&at.wrapping_mul(2_654_435_761).to_be_bytes(), &[])
}

fn value(at: u32, round: u32) -> Vec<u8> {
    (0..VALUE_BYTES as u32).map(|byte| (at.wrapping_add(byte) ^ round) as u8).collect()
}

fn put(backend: &mut KeyedBackend, id: StateId, from: u32, round: u32) {
    let mut batch = BatchBuilder::new(BatchFlags { timestamped: false, keyed: true });
    (from..from + BATCH).for_each(|at| batch.push_change(&key(at), Change::Set(&value(at, round))));
    backend.put(id, &batch.finish_view()).unwrap();
}

/// In the second round every fourth batch was put once more.
fn round(from: u32) -> u32 {
    u32::from((from / BATCH).is_multiple_of(4))
}

fn check(backend: &KeyedBackend, id: StateId, watch: &mut Watch) {
    for from in (0..ENTRIES).step_by(BATCH as usize) {
        let mut keys = BatchBuilder::new(BatchFlags { timestamped: false, keyed: true });
        (from..from + BATCH).for_each(|at| keys.push(None, Some(&key(at)), &[]));
        let answer = BatchView::parse(backend.get(id, &keys.finish_view()).unwrap()).unwrap();
        for (at, found) in (from..).zip(read_values(&answer).unwrap()) {
            assert_eq!(found.unwrap(), Some(&value(at, round(from))[..]));
        }
        watch.look();
    }
    let (mut after, mut count) = (None, 0);
    loop {
        let answer = BatchView::parse(backend.scan(id, &[], after.as_deref(), 64 * 1024).unwrap()).unwrap();
        let Some((key, _)) = read_scan(&answer).unwrap().last() else { break };
        after = Some(key.to_vec());
        count += answer.len();
    }
    assert_eq!(count, ENTRIES as usize);
}

struct Files {
    folder: tempfile::TempDir,
    chain: SegmentChain<String>,
}

impl Files {
    fn write(&self, write: impl FnOnce(&mut File)) -> (String, u64) {
        let (mut file, path) = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap().keep().unwrap();
        write(&mut file);
        (path.to_str().unwrap().to_owned(), file.metadata().unwrap().len())
    }

    fn seal(&mut self, backend: &mut KeyedBackend) -> usize {
        let sealed = backend.seal(BTreeMap::new()).unwrap().remove("op").unwrap();
        let count = sealed.segments.len();
        for segment in sealed.segments {
            let (path, bytes) = self.write(|file| {
                segment.write(&mut |chunk| file.write_all(&chunk)).unwrap();
            });
            self.chain.push(path, bytes, segment.is_base());
        }
        count
    }
}

fn inputs<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<SegmentInput<FileSource>> {
    let open = |path: &String| FileSource::new(File::open(path).unwrap(), path.clone()).unwrap();
    paths.map(|path| SegmentInput { source: open(path), key_groups: KEY_GROUPS }).collect()
}

#[test]
fn ten_times_more_state_than_memory_stays_within_the_budget() {
    let mut files = Files { folder: tempfile::tempdir().unwrap(), chain: SegmentChain::new(KEY_GROUPS) };
    let mut watch = Watch { before: resident_bytes(), most: 0 };
    let mut backend = open();
    let id = open_state(&mut backend);
    for from in (0..ENTRIES).step_by(BATCH as usize) {
        put(&mut backend, id, from, 0);
        watch.look();
    }
    assert!(files.seal(&mut backend) > 10, "changes that exceed the budget are cut early");
    for from in (0..ENTRIES).step_by(BATCH as usize).filter(|from| round(*from) == 1) {
        put(&mut backend, id, from, 1);
        watch.look();
    }
    files.seal(&mut backend);
    assert!(files.chain.total_bytes() > 10 * MEMORY_BYTES);
    check(&backend, id, &mut watch);
    drop(backend);

    let ticket = files.chain.begin_merge(&MergePolicy::default()).unwrap();
    let segments = inputs(ticket.segments.iter().map(|segment| &segment.handle));
    let options = MergeOptions { key_groups: KEY_GROUPS, max_parallelism: 128, expired_at: None, base: ticket.base };
    let merged = files.write(|file| {
        let mut write = |chunk: bytes::Bytes| {
            watch.look();
            file.write_all(&chunk)
        };
        merge(segments, &options, &mut write).unwrap();
    });
    assert!(files.chain.end_merge(&ticket, Some(merged)));

    let mut backend = open();
    let fingerprints = BTreeMap::from([("s".to_owned(), "bytes".to_owned())]);
    let segments = inputs(files.chain.segments().map(|segment| &segment.handle));
    backend.restore("op", &fingerprints, vec![segments]).unwrap();
    watch.look();
    let id = open_state(&mut backend);
    check(&backend, id, &mut watch);
    assert_eq!(files.seal(&mut backend), 0, "what was restored is not a change");
    let most = watch.most;
    assert!(most < MEMORY_BYTES + SLACK_BYTES, "{most} bytes for a budget of {MEMORY_BYTES}");
}
