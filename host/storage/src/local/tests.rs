//! Copies on the local disk: bounded, verified, never of another file.
#![allow(clippy::unwrap_used, reason = "tests")]

use millrace_protocol::StateBlob;
use tempfile::TempDir;

use super::*;
use crate::CheckpointStore;

struct World {
    folder: TempDir,
    copies: LocalCopies,
}

impl World {
    fn new(bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["one", "two"].map(|name| folder.path().join(name)).to_vec();
        std::fs::create_dir(&folders[0]).unwrap();
        std::fs::write(folders[0].join("copy-0"), "of an earlier life").unwrap();
        Self { copies: LocalCopies::new(folders, bytes_max).unwrap(), folder }
    }

    /// Writes a file as a task does, with a copy beside, and waits until the copy is made.
    fn write(&self, path: &str, content: &[u8]) -> (CopyKey, u64, u64) {
        let mut copy = self.copies.begin(key(path));
        for chunk in content.chunks(3) {
            copy.append(&Bytes::copy_from_slice(chunk));
        }
        let (bytes, checksum) = (content.len() as u64, xxhash_rust::xxh3::xxh3_64(content));
        copy.finish(bytes, checksum);
        self.settle();
        (key(path), bytes, checksum)
    }

    /// Waits until the thread has done all that it was told before.
    fn settle(&self) {
        let (who, told) = std::sync::mpsc::channel();
        let mut tell = Work::Tell(who);
        while let Err(mpsc::error::TrySendError::Full(again)) = self.copies.0.work.try_send(tell) {
            tell = again;
            std::thread::yield_now();
        }
        told.recv().unwrap();
    }

    fn read(&self, (key, bytes, checksum): &(CopyKey, u64, u64)) -> Option<Vec<u8>> {
        let file = self.copies.open(key, *bytes, *checksum)?;
        let mut content = vec![0; usize::try_from(*bytes).unwrap()];
        file.read_at(0, &mut content).unwrap();
        Some(content)
    }

    /// All files of copies.
    fn files(&self) -> Vec<PathBuf> {
        self.settle();
        let folders = ["one", "two"].map(|name| std::fs::read_dir(self.folder.path().join(name)).unwrap());
        folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }
}

fn key(path: &str) -> CopyKey {
    CopyKey { job: JobId::from_bytes([1; 16]), folder: "/checkpoints/job".into(), path: path.into() }
}

#[test]
fn a_file_is_read_from_its_copy_and_no_other() {
    let world = World::new(1_000);
    assert!(world.files().is_empty(), "what an earlier life left is gone");
    let first = world.write("shared/a-0", b"some state");
    let second = world.write("shared/a-1", b"other state");
    assert_eq!(world.read(&first).unwrap(), b"some state");
    assert_eq!(world.read(&second).unwrap(), b"other state");
    assert_eq!(world.read(&(key("shared/a-1"), first.1, first.2)), None);
    assert_eq!(world.read(&(key("shared/b-0"), first.1, first.2)), None);
    assert_eq!((world.copies.figures().copies, world.copies.figures().bytes), (2, 21));
}

#[test]
fn a_damaged_copy_is_not_read_and_goes() {
    for damage in [b"some stale".as_slice(), b"some", b""] {
        let world = World::new(1_000);
        let written = world.write("shared/a-0", b"some state");
        std::fs::write(&world.files()[0], damage).unwrap();
        assert_eq!(world.read(&written), None);
        assert!(world.files().is_empty());
        assert_eq!(world.copies.figures(), LocalFigures::default());
    }
    let world = World::new(1_000);
    let written = world.write("shared/a-0", b"some state");
    std::fs::remove_file(&world.files()[0]).unwrap();
    assert_eq!(world.read(&written), None);
}

#[test]
fn there_are_no_more_bytes_than_there_may_be() {
    let world = World::new(20);
    let first = world.write("shared/a-0", b"0123456789");
    let second = world.write("shared/a-1", b"0123456789");
    assert!(world.read(&first).is_some());
    let third = world.write("shared/a-2", b"01234");
    assert_eq!(world.read(&second), None, "it was not used for longest");
    assert!(world.read(&first).is_some() && world.read(&third).is_some());
    let large = world.write("shared/a-3", &[7; 21]);
    assert_eq!(world.read(&large), None);
    assert!(world.read(&first).is_some(), "what is too large puts nothing out");
    assert_eq!((world.files().len(), world.copies.figures().bytes), (2, 15));
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let world = World::new(1_000);
    let mut copy = world.copies.begin(key("shared/a-0"));
    copy.append(&Bytes::from_static(b"half of it"));
    drop(copy);
    world.settle();
    assert!(world.files().is_empty());
    assert_eq!(world.copies.figures().copies, 0);
}

#[test]
fn copies_for_which_there_is_no_room_are_given_up_and_the_others_end() {
    let world = World::new(1_000);
    let mut open: Vec<_> = (0..WAITING_MAX).map(|number| world.copies.begin(key(&number.to_string()))).collect();
    let mut first = open.swap_remove(0);
    // All places are kept for the ends of those that were begun.
    world.copies.begin(key("beyond")).finish(0, 0);
    first.append(&Bytes::from_static(b"state"));
    first.finish(5, xxhash_rust::xxh3::xxh3_64(b"state"));
    drop(open);
    assert!(world.files().is_empty());
    assert_eq!(world.copies.figures(), LocalFigures::default());
    // What was given up leaves its place to others.
    let written = world.write("shared/a-0", b"some state");
    assert!(world.read(&written).is_some());
}

#[test]
fn pieces_of_more_bytes_than_may_wait_are_not_taken() {
    let world = World::new(u64::MAX);
    let mut copy = world.copies.begin(key("shared/a-0"));
    copy.append(&Bytes::from(vec![0; usize::try_from(WAITING_BYTES_MAX).unwrap() + 1]));
    copy.append(&Bytes::from_static(b"state"));
    copy.finish(5, xxhash_rust::xxh3::xxh3_64(b"state"));
    assert!(world.files().is_empty());
    assert_eq!(world.copies.0.waiting_bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_was_read_elsewhere_is_copied_and_what_no_checkpoint_names_goes() {
    let world = World::new(1_000);
    let remote = world.folder.path().join("checkpoints");
    let store = CheckpointStore::create_local(&remote).unwrap();
    let blob = store.write("shared/a-0", [Bytes::from_static(b"state")]).await.unwrap();
    let StateBlob::File { path, bytes, checksum } = blob else { panic!("a file") };
    let file = Arc::new(store.open_ranged(&path, bytes, checksum).unwrap());
    world.copies.copy(key(&path), Arc::clone(&file), checksum);
    world.copies.copy(key(&path), file, checksum);
    world.settle();
    assert_eq!(world.read(&(key(&path), bytes, checksum)).unwrap(), b"state");
    assert_eq!(world.files().len(), 1, "it is copied once");

    let owner = CopyOwner { job: key("").job, vertex: millrace_types::VertexId::from_bytes([2; 16]), subtask: 0 };
    let second = world.write("shared/a-1", b"more");
    world.copies.restored(owner, CheckpointId(1), BTreeSet::from([key("shared/a-0")]));
    world.copies.acknowledged(owner, CheckpointId(2), BTreeSet::from([key("shared/a-1")]));
    assert_eq!(world.files().len(), 2);
    world.copies.completed(owner, CheckpointId(2));
    assert!(world.read(&second).is_some() && world.files().len() == 1);
    world.copies.retain_jobs(|_| false);
    assert!(world.files().is_empty());
}
