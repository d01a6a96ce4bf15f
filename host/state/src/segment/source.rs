//! Where the bytes of segments come from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use millrace_types::KeyGroupRange;

/// The bytes of a segment, wherever they are.
pub trait SegmentSource {
    /// How many there are.
    fn len(&self) -> u64;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads exactly `len` bytes from `offset` on. Nobody asks for more than there are by [`Self::len`].
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes>;

    /// What errors call it, such as its path.
    fn name(&self) -> &str;
}

/// A segment that travelled with the metadata.
impl SegmentSource for Bytes {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = offset.checked_add(len).filter(|end| *end <= self.as_ref().len());
        end.map(|end| self.slice(offset..end)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn name(&self) -> &str {
        "within the metadata"
    }
}

impl SegmentSource for Box<dyn SegmentSource + Send> {
    fn len(&self) -> u64 {
        self.as_ref().len()
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.as_ref().read_at(offset, len)
    }

    fn name(&self) -> &str {
        self.as_ref().name()
    }
}

/// A segment in a file.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    len: u64,
    name: String,
}

impl FileSource {
    /// A segment in a file; `name` is what errors call it.
    pub fn new(file: File, name: String) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len, name })
    }
}

impl SegmentSource for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A segment and what counts of it.
#[derive(Debug, Clone)]
pub struct SegmentInput<S> {
    /// Its bytes.
    pub source: S,
    /// Entries of other key groups are passed over: they belong to another subtask, whose later changes this one does not
    /// know.
    pub key_groups: KeyGroupRange,
}
