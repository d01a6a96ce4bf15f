//! The bytes of one file, decompressed, in blocking reads.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;

use super::CHUNK_BYTES;
use super::split::{FileSplit, FileStamp};
use crate::{ConnectorError, FileRoots};

/// An open file. All its functions block.
pub struct Input {
    path: String,
    stamp: FileStamp,
    stream: Stream,
    /// Bytes read so far, decompressed.
    position: u64,
}

enum Stream {
    Plain(File),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Input {
    /// Opens the file of a split, unless it was changed.
    pub fn open(split: &FileSplit, roots: &FileRoots) -> Result<Self, ConnectorError> {
        let file = roots.open_file(split.path())?;
        let stream = if split.gzip {
            Stream::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(CHUNK_BYTES / 8, file))))
        } else {
            Stream::Plain(file)
        };
        let input = Self { path: split.path().display().to_string(), stamp: split.stamp, stream, position: 0 };
        input.check_unchanged()?;
        Ok(input)
    }

    /// Fails if the file is not as it was when its splits were planned.
    pub fn check_unchanged(&self) -> Result<(), ConnectorError> {
        let file = match &self.stream {
            Stream::Plain(file) => file,
            Stream::Gzip(decoder) => decoder.get_ref().get_ref(),
        };
        let metadata = file.metadata().map_err(|error| self.failed(error))?;
        match self.stamp.difference(&FileStamp::of(&metadata)) {
            Some(detail) => Err(ConnectorError::Changed { path: self.path.clone(), detail }),
            None => Ok(()),
        }
    }

    /// Goes on reading elsewhere, where the file allows it. A compressed one does not: it is read up to there.
    pub fn seek(&mut self, position: u64) -> Result<bool, ConnectorError> {
        let Stream::Plain(file) = &mut self.stream else { return Ok(false) };
        match file.seek(SeekFrom::Start(position)) {
            Ok(_) => self.position = position,
            Err(error) => return Err(self.failed(error)),
        }
        Ok(true)
    }

    /// Fills the buffer; fewer bytes only at the end of the file.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ConnectorError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let read = match &mut self.stream {
                Stream::Plain(file) => file.read(rest),
                Stream::Gzip(decoder) => decoder.read(rest),
            };
            match read {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.position += filled as u64;
        // A plain file that ends early was cut off behind the back of the reader.
        if filled < buffer.len() && matches!(self.stream, Stream::Plain(_)) && self.position < self.stamp.length {
            let detail = format!("it ends at byte {} of {}", self.position, self.stamp.length);
            return Err(ConnectorError::Changed { path: self.path.clone(), detail });
        }
        Ok(filled)
    }

    fn failed(&self, error: io::Error) -> ConnectorError {
        let path = self.path.clone();
        match (&self.stream, error.kind()) {
            (Stream::Gzip(_), ErrorKind::UnexpectedEof) => {
                let reason = "it ends in the middle of a gzip member".to_owned();
                ConnectorError::Compression { path, reason }
            }
            // Errors of the decoder have no number of the operating system.
            (Stream::Gzip(_), _) if error.raw_os_error().is_none() => {
                ConnectorError::Compression { path, reason: error.to_string() }
            }
            _ => ConnectorError::Io { action: "read", path, source: error },
        }
    }
}
