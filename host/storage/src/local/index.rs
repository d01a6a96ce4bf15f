//! Which copies there are, and which may still be needed. Pure.
//!
//! Invariants:
//! - A copy is found by all that names a file: job, folder, path, length and checksum.
//! - No more bytes are held than there may be: what was not used for longest goes first.
//! - What a checkpoint named that is complete, or may become so, stays; what no such checkpoint names any more goes.

use std::collections::{BTreeMap, BTreeSet};

use millrace_types::{CheckpointId, JobId, VertexId};

/// The checkpoints of a subtask of which it is remembered what they name: fewer are under way. Of more the oldest are
/// forgotten, which will not be complete, but for the one that is.
const CHECKPOINTS_MAX: usize = 64;

/// The subtask whose state it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CopyOwner {
    /// The job.
    pub job: JobId,
    /// The vertex.
    pub vertex: VertexId,
    /// The subtask.
    pub subtask: u32,
}

/// Names a file of a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CopyKey {
    /// The job that has written or read it.
    pub job: JobId,
    /// The folder of checkpoints that it belongs to.
    pub folder: Box<str>,
    /// Its path within the folder.
    pub path: Box<str>,
}

/// A copy. The number is its file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    pub number: u64,
    pub bytes: u64,
    pub checksum: u64,
    used: u64,
}

/// The copies of a process.
#[derive(Debug)]
pub(super) struct Index {
    bytes_max: u64,
    bytes: u64,
    copies: BTreeMap<CopyKey, Copy>,
    /// What the checkpoints of each subtask name that are complete or may become so.
    named: BTreeMap<CopyOwner, BTreeMap<CheckpointId, BTreeSet<CopyKey>>>,
    clock: u64,
}

impl Index {
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, copies: BTreeMap::new(), named: BTreeMap::new(), clock: 0 }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    pub fn count(&self) -> usize {
        self.copies.len()
    }

    /// Whether a file is here.
    pub fn contains(&self, key: &CopyKey) -> bool {
        self.copies.contains_key(key)
    }

    /// The copy of exactly this file.
    pub fn find(&mut self, key: &CopyKey, bytes: u64, checksum: u64) -> Option<Copy> {
        self.clock += 1;
        let copy = self.copies.get_mut(key).filter(|copy| (copy.bytes, copy.checksum) == (bytes, checksum))?;
        copy.used = self.clock;
        Some(*copy)
    }

    /// Adds a copy, and gives the numbers of those that have to go for it: itself if it is too large.
    pub fn add(&mut self, key: CopyKey, number: u64, bytes: u64, checksum: u64) -> Vec<u64> {
        if bytes > self.bytes_max {
            return vec![number];
        }
        self.clock += 1;
        let mut gone: Vec<u64> = self.remove(&key).into_iter().collect();
        while self.bytes + bytes > self.bytes_max {
            let oldest = self.copies.iter().min_by_key(|(_, copy)| copy.used).map(|(key, _)| key.clone());
            match oldest.and_then(|oldest| self.remove(&oldest)) {
                Some(number) => gone.push(number),
                None => break,
            }
        }
        self.bytes += bytes;
        self.copies.insert(key, Copy { number, bytes, checksum, used: self.clock });
        gone
    }

    /// Forgets a copy and gives its number.
    pub fn remove(&mut self, key: &CopyKey) -> Option<u64> {
        let copy = self.copies.remove(key)?;
        self.bytes -= copy.bytes;
        Some(copy.number)
    }

    /// A subtask has acknowledged a checkpoint that consists of these files.
    pub fn acknowledged(&mut self, owner: CopyOwner, checkpoint: CheckpointId, files: BTreeSet<CopyKey>) {
        let named = self.named.entry(owner).or_default();
        named.insert(checkpoint, files);
        if named.len() > CHECKPOINTS_MAX
            && let Some(surplus) = named.keys().nth(1).copied()
        {
            named.remove(&surplus);
        }
    }

    /// A checkpoint is complete: earlier ones are not gone back to. Gives the numbers of the copies that go.
    pub fn completed(&mut self, owner: CopyOwner, checkpoint: CheckpointId) -> Vec<u64> {
        let Some(named) = self.named.get_mut(&owner) else { return Vec::new() };
        let later = named.split_off(&checkpoint);
        let earlier = std::mem::replace(named, later);
        self.unname(owner.job, earlier.into_values().flatten().collect())
    }

    /// A subtask begins with a checkpoint that consists of these files: what it acknowledged besides will not be complete.
    pub fn restored(&mut self, owner: CopyOwner, checkpoint: CheckpointId, files: BTreeSet<CopyKey>) -> Vec<u64> {
        let former = self.named.insert(owner, BTreeMap::from([(checkpoint, files)])).unwrap_or_default();
        self.unname(owner.job, former.into_values().flatten().collect())
    }

    /// Forgets those of some files of a job that nothing names any more.
    fn unname(&mut self, job: JobId, mut files: BTreeSet<CopyKey>) -> Vec<u64> {
        let of_job = self.named.iter().filter(|(owner, _)| owner.job == job);
        for named in of_job.flat_map(|(_, checkpoints)| checkpoints.values()) {
            files.retain(|file| !named.contains(file));
        }
        files.iter().filter_map(|file| self.remove(file)).collect()
    }

    /// Forgets all of the jobs that are not to be kept.
    pub fn retain_jobs(&mut self, keep: impl Fn(JobId) -> bool) -> Vec<u64> {
        self.named.retain(|owner, _| keep(owner.job));
        let gone: Vec<CopyKey> = self.copies.keys().filter(|key| !keep(key.job)).cloned().collect();
        gone.iter().filter_map(|key| self.remove(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owner(job: u8, subtask: u32) -> CopyOwner {
        CopyOwner { job: JobId::from_bytes([job; 16]), vertex: VertexId::from_bytes([1; 16]), subtask }
    }

    fn key(job: u8, path: u8) -> CopyKey {
        CopyKey { job: JobId::from_bytes([job; 16]), folder: "/c".into(), path: format!("shared/{path}").into() }
    }

    fn keys(job: u8, paths: &[u8]) -> BTreeSet<CopyKey> {
        paths.iter().map(|path| key(job, *path)).collect()
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut index = Index::new(10);
        assert_eq!(index.add(key(1, 1), 1, 4, 0), [0u64; 0]);
        assert_eq!(index.add(key(1, 2), 2, 4, 0), [0u64; 0]);
        assert_eq!(index.find(&key(1, 1), 4, 0).map(|copy| copy.number), Some(1));
        assert_eq!(index.add(key(1, 3), 3, 5, 0), [2]);
        assert_eq!(index.add(key(1, 4), 4, 11, 0), [4], "larger than all there may be");
        assert_eq!(index.add(key(1, 5), 5, 10, 0), [1, 3]);
        assert_eq!((index.bytes(), index.count()), (10, 1));
    }

    #[test]
    fn another_file_of_the_same_name_is_not_found() {
        let mut index = Index::new(10);
        index.add(key(1, 1), 1, 4, 77);
        assert_eq!(index.find(&key(1, 1), 4, 78), None);
        assert_eq!(index.find(&key(1, 1), 5, 77), None);
        assert_eq!(index.find(&key(2, 1), 4, 77), None);
        let elsewhere = CopyKey { folder: "/d".into(), ..key(1, 1) };
        assert_eq!(index.find(&elsewhere, 4, 77), None);
        assert!(index.find(&key(1, 1), 4, 77).is_some());
    }

    #[test]
    fn a_copy_stays_as_long_as_a_checkpoint_may_name_it() {
        let mut index = Index::new(100);
        for path in 1..=5 {
            index.add(key(1, path), u64::from(path), 1, 0);
        }
        let one = CheckpointId(1);
        index.acknowledged(owner(1, 0), one, keys(1, &[1, 2]));
        index.acknowledged(owner(1, 0), CheckpointId(2), keys(1, &[2, 3]));
        // Another subtask was restored from files of the first.
        index.restored(owner(1, 1), one, keys(1, &[1]));
        assert_eq!(index.completed(owner(1, 0), one), [0u64; 0]);
        assert_eq!(index.completed(owner(1, 0), CheckpointId(2)), [0u64; 0], "subtask 1 has file 1");
        index.acknowledged(owner(1, 1), CheckpointId(2), keys(1, &[4]));
        assert_eq!(index.completed(owner(1, 1), CheckpointId(2)), [1]);
        index.acknowledged(owner(1, 0), CheckpointId(3), keys(1, &[2, 5]));
        // Checkpoint 3 was not complete when the task failed.
        assert_eq!(index.restored(owner(1, 0), CheckpointId(2), keys(1, &[2, 3])), [5]);
        index.add(key(2, 1), 9, 1, 0);
        let mut gone = index.retain_jobs(|job| job == owner(2, 0).job);
        gone.sort_unstable();
        assert_eq!(gone, [2, 3, 4]);
        assert_eq!(index.count(), 1);
    }

    #[test]
    fn what_many_checkpoints_name_that_never_are_complete_is_forgotten() {
        let mut index = Index::new(100);
        index.add(key(1, 1), 1, 1, 0);
        index.restored(owner(1, 0), CheckpointId(1), keys(1, &[1]));
        for id in 2..1_000 {
            index.acknowledged(owner(1, 0), CheckpointId(id), keys(1, &[1]));
        }
        let named = &index.named[&owner(1, 0)];
        assert_eq!((named.len(), named.first_key_value().map(|(id, _)| id.0)), (CHECKPOINTS_MAX, Some(1)));
        assert_eq!(index.completed(owner(1, 0), CheckpointId(999)), [0u64; 0]);
        index.acknowledged(owner(1, 0), CheckpointId(1_000), keys(1, &[]));
        assert_eq!(index.completed(owner(1, 0), CheckpointId(1_000)), [1]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u8, u8, u64, u64),
        Find(u8, u8, u64, u64),
        Ack(u8, u32, u64, Vec<u8>),
        Completed(u8, u32, u64),
        Restored(u8, u32, u64, Vec<u8>),
        Ended(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (job, path, subtask, id) = (0u8..2, 0u8..6, 0u32..2, 1u64..5);
        let files = proptest::collection::vec(0u8..6, 0..4);
        prop_oneof![
            (job.clone(), path.clone(), 0u64..9, 0u64..2).prop_map(|(a, b, c, d)| Step::Add(a, b, c, d)),
            (job.clone(), path, 0u64..9, 0u64..2).prop_map(|(a, b, c, d)| Step::Find(a, b, c, d)),
            (job.clone(), subtask.clone(), id.clone(), files.clone()).prop_map(|(a, b, c, d)| Step::Ack(a, b, c, d)),
            (job.clone(), subtask.clone(), id.clone()).prop_map(|(a, b, c)| Step::Completed(a, b, c)),
            (job.clone(), subtask, id, files).prop_map(|(a, b, c, d)| Step::Restored(a, b, c, d)),
            job.prop_map(Step::Ended),
        ]
    }

    proptest! {
        /// Whatever happens, a copy is found for the file alone that it was made of, its number is given away once, and
        /// there are never more bytes than there may be.
        #[test]
        fn a_copy_is_never_taken_for_another_file(steps in proptest::collection::vec(step(), 1..60)) {
            let mut index = Index::new(20);
            // What each number was made of; those that are there.
            let (mut made, mut there) = (BTreeMap::new(), BTreeSet::new());
            for (number, step) in (0u64..).zip(steps) {
                let gone = match step {
                    Step::Add(job, path, bytes, checksum) => {
                        made.insert(number, (key(job, path), bytes, checksum));
                        there.insert(number);
                        index.add(key(job, path), number, bytes, checksum)
                    }
                    Step::Find(job, path, bytes, checksum) => {
                        if let Some(copy) = index.find(&key(job, path), bytes, checksum) {
                            prop_assert_eq!(&made[&copy.number], &(key(job, path), bytes, checksum));
                            prop_assert!(there.contains(&copy.number));
                        }
                        Vec::new()
                    }
                    Step::Ack(job, subtask, id, files) => {
                        index.acknowledged(owner(job, subtask), CheckpointId(id), keys(job, &files));
                        Vec::new()
                    }
                    Step::Completed(job, subtask, id) => index.completed(owner(job, subtask), CheckpointId(id)),
                    Step::Restored(job, subtask, id, files) => {
                        index.restored(owner(job, subtask), CheckpointId(id), keys(job, &files))
                    }
                    Step::Ended(job) => index.retain_jobs(|other| other != owner(job, 0).job),
                };
                for number in gone {
                    prop_assert!(there.remove(&number), "{} was there no more", number);
                }
                let bytes: u64 = there.iter().map(|number| made[number].1).sum();
                prop_assert_eq!((index.bytes(), index.count()), (bytes, there.len()));
                prop_assert!(bytes <= 20);
            }
        }
    }
}
