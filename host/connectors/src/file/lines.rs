//! Lines out of a file, without copying them.
//!
//! Invariants:
//! - Bytes are looked at for line ends and for UTF-8 once, however small the pieces are that they are taken in.
//! - Memory is bounded by the longest record that is allowed and one chunk.

use std::sync::Arc;

use memchr::{memchr, memrchr};
use millrace_types::RECORD_BYTES_MAX;

use super::input::Input;
use super::reader::Reading;
use super::split::FileSplit;
use crate::ConnectorError;
use crate::blocking::blocking;

/// How far behind the end of a split is read at once, in bytes: its last record ends there.
const OVERHANG_BYTES: u64 = 8 * 1024;

/// What some programs write in front of UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    Newline,
    CarriageReturnNewline,
    /// The file's end.
    None,
}

/// A line without its end.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub content: &'a [u8],
    /// Where it begins, in bytes from the beginning of the decompressed file.
    pub position: u64,
    pub end: LineEnd,
}

/// What [`LineReader::next`] found.
pub enum Next<'a> {
    Line(Line<'a>),
    /// Nothing complete; [`LineReader::refill`] first.
    NeedMore,
    /// The file's end.
    End,
}

/// Reads lines of one file.
pub struct LineReader {
    path: Arc<str>,
    /// None while a blocking thread has it, and for good if that was abandoned.
    input: Option<Input>,
    /// `bytes[begin..filled]` is read from the file and not yet taken.
    bytes: Vec<u8>,
    begin: usize,
    filled: usize,
    /// There is no line end in `bytes[begin..scanned]`.
    scanned: usize,
    /// Lines that end before here were checked for UTF-8,
    checked: usize,
    /// and are UTF-8 up to here.
    valid: usize,
    /// The position of `bytes[0]` in the decompressed file.
    base: u64,
    /// About where reading will stop.
    stop: u64,
    /// What is read at once, in bytes.
    chunk_bytes: usize,
    ended: bool,
}

impl LineReader {
    /// Opens the file of a split at its beginning.
    pub async fn open(split: &FileSplit, reading: &Reading) -> Result<Self, ConnectorError> {
        let path = split.path().display().to_string().into();
        let stop = if split.gzip { u64::MAX } else { split.end };
        let (split, roots) = (split.clone(), reading.roots.clone());
        let input = blocking(move || Input::open(&split, &roots)).await?;
        Ok(Self {
            path,
            input: Some(input),
            bytes: Vec::new(),
            begin: 0,
            filled: 0,
            scanned: 0,
            checked: 0,
            valid: 0,
            base: 0,
            stop,
            chunk_bytes: reading.chunk_bytes,
            ended: false,
        })
    }

    /// The file's name, for errors.
    pub fn shared_path(&self) -> Arc<str> {
        Arc::clone(&self.path)
    }

    /// Where the next line begins.
    pub fn position(&self) -> u64 {
        self.base + self.begin as u64
    }

    /// Takes the next line, which must be UTF-8.
    pub fn next(&mut self) -> Result<Next<'_>, ConnectorError> {
        let Some(found) = memchr(b'\n', &self.bytes[self.scanned..self.filled]) else {
            self.scanned = self.filled;
            // One more, since a carriage return may turn out to be part of the line's end.
            self.check_length(self.filled - self.begin, RECORD_BYTES_MAX as usize + 1)?;
            if !self.ended {
                return Ok(Next::NeedMore);
            }
            if self.begin == self.filled {
                return Ok(Next::End);
            }
            return self.take(self.filled, self.filled, LineEnd::None).map(Next::Line);
        };
        let newline = self.scanned + found;
        let (content_end, end) = if newline > self.begin && self.bytes[newline - 1] == b'\r' {
            (newline - 1, LineEnd::CarriageReturnNewline)
        } else {
            (newline, LineEnd::Newline)
        };
        self.take(content_end, newline + 1, end).map(Next::Line)
    }

    #[inline]
    fn take(&mut self, content_end: usize, next: usize, end: LineEnd) -> Result<Line<'_>, ConnectorError> {
        self.check_length(content_end - self.begin, RECORD_BYTES_MAX as usize)?;
        if next > self.checked {
            self.check_utf8();
        }
        if next > self.valid {
            return Err(self.bad_utf8());
        }
        let position = self.position();
        let begin = std::mem::replace(&mut self.begin, next);
        self.scanned = next;
        Ok(Line { content: &self.bytes[begin..content_end], position, end })
    }

    #[inline]
    fn check_length(&self, bytes: usize, limit: usize) -> Result<(), ConnectorError> {
        if bytes > limit { Err(too_long(&self.path, self.position())) } else { Ok(()) }
    }

    /// Checks all complete lines at once: that is much faster than one by one, and a line end is never part of another
    /// character.
    #[cold]
    fn check_utf8(&mut self) {
        let unchecked = &self.bytes[self.begin..self.filled];
        let complete = if self.ended { unchecked.len() } else { memrchr(b'\n', unchecked).map_or(0, |at| at + 1) };
        let valid = match std::str::from_utf8(&unchecked[..complete]) {
            Ok(_) => complete,
            Err(error) => error.valid_up_to(),
        };
        self.checked = self.begin + complete;
        self.valid = self.begin + valid;
    }

    fn bad_utf8(&self) -> ConnectorError {
        let at = self.base + self.valid as u64;
        let gzip = self.base == 0 && self.bytes.starts_with(&[0x1f, 0x8b]);
        ConnectorError::BadRecord {
            path: self.path.to_string(),
            offset: self.position(),
            reason: format!("byte {at} is not valid UTF-8"),
            remedy: if gzip {
                "the file looks compressed: set \"compression\" to \"gzip\""
            } else {
                "convert the file to UTF-8, for example with iconv"
            },
        }
    }

    /// Reads a chunk more.
    pub async fn refill(&mut self) -> Result<(), ConnectorError> {
        self.compact();
        let rest = self.stop.saturating_sub(self.base + self.filled as u64).saturating_add(OVERHANG_BYTES);
        // The longer the record that began before the end, the more is read for it at once.
        let rest = rest.max(self.filled as u64);
        let want = usize::try_from(rest).map_or(self.chunk_bytes, |rest| rest.min(self.chunk_bytes));
        if self.bytes.len() < self.filled + want {
            // A long record doubles the buffer, so that it is copied a few times only.
            let grown = (self.filled + want).max(self.bytes.len().saturating_mul(2).min(self.filled * 2));
            self.bytes.resize(grown, 0);
        }
        let (mut bytes, filled) = (std::mem::take(&mut self.bytes), self.filled);
        let read = self.with_input(move |input| {
            let count = input.read(&mut bytes[filled..filled + want])?;
            Ok((bytes, count))
        });
        let (bytes, count) = read.await?;
        self.bytes = bytes;
        self.filled += count;
        self.ended = count < want;
        Ok(())
    }

    /// Moves what is not yet taken to the front.
    fn compact(&mut self) {
        let taken = self.begin;
        if taken == 0 {
            return;
        }
        self.bytes.copy_within(taken..self.filled, 0);
        self.base += taken as u64;
        self.begin = 0;
        self.filled -= taken;
        self.scanned -= taken;
        self.checked = self.checked.saturating_sub(taken);
        self.valid = self.valid.saturating_sub(taken);
    }

    /// Goes on at a later position.
    pub async fn advance_to(&mut self, position: u64) -> Result<(), ConnectorError> {
        loop {
            let ahead = position.saturating_sub(self.position());
            let buffered = self.filled - self.begin;
            if ahead <= buffered as u64 {
                self.drop_front(ahead as usize);
                return Ok(());
            }
            self.drop_front(buffered);
            if self.with_input(move |input| input.seek(position)).await? {
                // Where the buffer is empty its base is free to be moved.
                self.base = position - self.begin as u64;
                self.ended = false;
                return Ok(());
            }
            if self.ended {
                return Err(ConnectorError::BadSplit { connector: "file" });
            }
            self.refill().await?;
        }
    }

    /// Goes on behind the next line end, without looking at what comes before it.
    pub async fn skip_line(&mut self) -> Result<(), ConnectorError> {
        loop {
            if let Some(found) = memchr(b'\n', &self.bytes[self.begin..self.filled]) {
                self.drop_front(found + 1);
                return Ok(());
            }
            self.drop_front(self.filled - self.begin);
            if self.ended {
                return Ok(());
            }
            self.refill().await?;
        }
    }

    /// Takes a byte order mark away at the beginning of a file.
    pub async fn skip_byte_order_mark(&mut self) -> Result<(), ConnectorError> {
        while self.filled < BYTE_ORDER_MARK.len() && !self.ended {
            self.refill().await?;
        }
        if self.position() == 0 && self.bytes[..self.filled].starts_with(BYTE_ORDER_MARK) {
            self.drop_front(BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    fn drop_front(&mut self, count: usize) {
        self.begin += count;
        self.scanned = self.begin;
        // What was dropped unseen says nothing about what follows.
        self.checked = self.begin;
        self.valid = self.begin;
    }

    /// Fails if the file was changed since its splits were planned.
    pub async fn check_unchanged(&mut self) -> Result<(), ConnectorError> {
        self.with_input(|input| input.check_unchanged()).await
    }

    async fn with_input<T, F>(&mut self, work: F) -> Result<T, ConnectorError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Input) -> Result<T, ConnectorError> + Send + 'static,
    {
        let mut input = self.input.take().ok_or(ConnectorError::Interrupted)?;
        let (input, result) = blocking(move || {
            let result = work(&mut input);
            Ok((input, result))
        })
        .await?;
        self.input = Some(input);
        result
    }
}

/// The error for a record beyond the limit.
pub fn too_long(path: &str, offset: u64) -> ConnectorError {
    ConnectorError::BadRecord {
        path: path.to_owned(),
        offset,
        reason: format!("it is longer than {RECORD_BYTES_MAX} bytes"),
        remedy: "check that the file is text of this format; cut longer records up before",
    }
}
