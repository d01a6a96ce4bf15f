//! The `file` source from paths to rows, against naive readers of whole files.
#![allow(clippy::unwrap_used, reason = "tests")]

mod broken_input;
mod gzip;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_wire::{BatchBuilder, BatchFlags, Fields};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::options::FileSourceOptions;
use super::reader::{FileReader, Reading};
use super::source::FileSourcePlan;
use crate::{ConnectorError, FileRoots, PollStatus, SourceReader};

/// A file, and how it is read.
struct Case {
    _temp: tempfile::TempDir,
    file: PathBuf,
    options: String,
    chunk_bytes: usize,
    max_bytes: usize,
    runtime: Runtime,
}

type Rows = Vec<Vec<u8>>;

/// Offsets with the number of rows before them.
type Offsets = Vec<(usize, Vec<u8>)>;

impl Case {
    fn new(name: &str, content: &[u8], options: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join(name);
        fs::write(&file, content).unwrap();
        let options = format!(r#"{{"paths": ["{}"] {options}}}"#, file.display());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { _temp: temp, file, options, chunk_bytes: super::CHUNK_BYTES, max_bytes: 1 << 16, runtime }
    }

    fn sized(mut self, chunk_bytes: usize, max_bytes: usize) -> Self {
        (self.chunk_bytes, self.max_bytes) = (chunk_bytes, max_bytes);
        self
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, ConnectorError> {
        FileSourcePlan::parse(&self.options)?.enumerate(1, &FileRoots::unrestricted())
    }

    fn reader(&self) -> FileReader {
        FileReader::new(Reading {
            options: Arc::new(FileSourceOptions::parse(&self.options).unwrap()),
            roots: FileRoots::unrestricted(),
            chunk_bytes: self.chunk_bytes,
        })
    }

    /// The rows of one poll, the offset behind it, and whether it was the last.
    fn poll(
        &self,
        reader: &mut FileReader,
        split: &[u8],
        offset: &[u8],
    ) -> Result<(Rows, Vec<u8>, bool), ConnectorError> {
        let mut out = BatchBuilder::new(BatchFlags::default());
        let polled = self.runtime.block_on(reader.poll(split, offset, &mut out, self.max_bytes))?;
        let rows = out.finish_view().rows().map(|row| row.payload.to_vec()).collect();
        assert!(matches!(polled.status, PollStatus::More | PollStatus::Finished));
        Ok((rows, polled.offset, polled.status == PollStatus::Finished))
    }

    /// The rows of a split from an offset on, and every offset on the way with the number of rows before it.
    fn read_split(&self, split: &[u8], offset: &[u8]) -> Result<(Rows, Offsets), ConnectorError> {
        let (mut rows, mut offsets, mut offset) = (Vec::new(), Vec::new(), offset.to_vec());
        let mut reader = self.reader();
        loop {
            let (more, next, finished) = self.poll(&mut reader, split, &offset)?;
            rows.extend(more);
            offset = next;
            offsets.push((rows.len(), offset.clone()));
            if finished {
                return Ok((rows, offsets));
            }
        }
    }

    fn read(&self) -> Result<Rows, ConnectorError> {
        let mut rows = Vec::new();
        for split in self.splits()? {
            rows.extend(self.read_split(&split, &[])?.0);
        }
        Ok(rows)
    }

    /// Fails unless the rows are these, also from every offset that a reader returned.
    fn check(&self, expected: &[Vec<u8>]) -> Result<(), TestCaseError> {
        let mut all = Vec::new();
        for split in self.splits().unwrap() {
            let (rows, offsets) = self.read_split(&split, &[]).unwrap();
            for (before, offset) in offsets {
                prop_assert_eq!(&self.read_split(&split, &offset).unwrap().0[..], &rows[before..], "from {:?}", offset);
            }
            all.extend(rows);
        }
        prop_assert_eq!(all, expected);
        Ok(())
    }
}

fn texts(rows: &[Vec<u8>]) -> Vec<String> {
    rows.iter().map(|row| String::from_utf8(row.clone()).unwrap()).collect()
}

fn fields(rows: &[Vec<u8>]) -> Vec<Vec<String>> {
    let text = |field: &[u8]| String::from_utf8(field.to_vec()).unwrap();
    rows.iter().map(|row| Fields::parse(row).unwrap().iter().map(text).collect()).collect()
}

/// Pieces that line splitting may get wrong.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof!["\n", "\r\n", "\r", "a", "é€𝄞", "[a-z ]{1,30}", "\u{feff}"];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn lines_are_those_of_the_whole_text(
        text in text(), split_size in 1usize..40, chunk_bytes in 1usize..50, max_bytes in 1usize..60
    ) {
        let mut expected: Vec<_> = text.split('\n').map(|line| line.as_bytes().to_vec()).collect();
        if expected.last().is_some_and(Vec::is_empty) {
            expected.pop();
        }
        let newline_less = usize::from(!text.ends_with('\n'));
        let ended = expected.len() - newline_less.min(expected.len());
        for line in &mut expected[..ended] {
            if line.ends_with(b"\r") {
                line.pop();
            }
        }
        let options = format!(r#", "split-size": {split_size}"#);
        Case::new("t", text.as_bytes(), &options).sized(chunk_bytes, max_bytes).check(&expected)?;
    }

    #[test]
    fn json_lines_are_the_lines_that_are_not_blank(
        lines in prop::collection::vec(prop_oneof!["", " ", "\\{\"k\": \\[1, \"[a-zé]{0,9}\"\\]\\}", " 7 "], 0..20),
        split_size in 1usize..40, chunk_bytes in 1usize..50, mark: bool
    ) {
        let text = format!("{}{}", if mark { "\u{feff}" } else { "" }, lines.join("\r\n"));
        let expected: Vec<_> =
            lines.iter().filter(|line| !line.trim().is_empty()).map(|line| line.as_bytes().to_vec()).collect();
        let options = format!(r#", "format": "json-lines", "split-size": {split_size}"#);
        Case::new("t", text.as_bytes(), &options).sized(chunk_bytes, 1).check(&expected)?;
    }

    #[test]
    fn csv_records_are_those_that_were_written(
        records in prop::collection::vec(prop::collection::vec("[ab,;\"\r\né]{0,4}", 3), 0..12),
        quote_all: bool, multiline: bool, crlf: bool, header: bool, mark: bool,
        blank in 0usize..3, split_size in 1usize..40, chunk_bytes in 1usize..50, max_bytes in 1usize..60,
    ) {
        let clean = |field: &String| if multiline { field.clone() } else { field.replace('\n', "n") };
        let records: Vec<Vec<String>> = records.iter().map(|record| record.iter().map(clean).collect()).collect();
        let line_end = if crlf { "\r\n" } else { "\n" };
        let quoted = |field: &String| {
            if quote_all || field.contains([';', '"', '\n', '\r']) {
                format!("\"{}\"", field.replace('"', "\"\""))
            } else {
                field.clone()
            }
        };
        let mut text = if mark { "\u{feff}".to_owned() } else { String::new() };
        if header {
            text += "first;\"sec;ond\";third";
            text += line_end;
        }
        for record in &records {
            text += &record.iter().map(quoted).collect::<Vec<_>>().join(";");
            text += &line_end.repeat(1 + blank);
        }
        let columns = if header { r#", "columns": ["third", "sec;ond"]"# } else { "" };
        let options = format!(
            r#", "format": "csv", "delimiter": ";", "header": {header}, "multiline": {multiline},
            "split-size": {split_size} {columns}"#
        );
        let case = Case::new("t", text.as_bytes(), &options).sized(chunk_bytes, max_bytes);
        let found = case.read().unwrap();
        let expected: Vec<Vec<String>> = records
            .iter()
            .map(|record| if header { vec![record[2].clone(), record[1].clone()] } else { record.clone() })
            .collect();
        prop_assert_eq!(fields(&found), expected);
        case.check(&found)?;
    }
}

#[test]
fn folders_are_read_file_by_file() {
    let case = Case::new("b.csv", b"k,v\n1,one\n2,two\n", r#", "format": "csv", "columns": ["v"]"#);
    let folder = case.file.parent().unwrap();
    fs::write(folder.join("a.csv"), "v,k\nzero,0").unwrap();
    fs::write(folder.join("c.csv"), "").unwrap();
    let options = case.options.replace("/b.csv", "/*.csv");
    let case = Case { options, ..case };
    assert_eq!(fields(&case.read().unwrap()), [["zero"], ["one"], ["two"]]);
}

#[test]
fn a_reader_goes_from_split_to_split_and_back() {
    let case = Case::new("t", b"one\ntwo\nthree\nfour\n", r#", "split-size": 7"#).sized(4, 1);
    let splits = case.splits().unwrap();
    assert_eq!(splits.len(), 3);
    let mut reader = case.reader();
    let (rows, offset, _) = case.poll(&mut reader, &splits[0], &[]).unwrap();
    assert_eq!(texts(&rows), ["one"]);
    assert_eq!(texts(&case.poll(&mut reader, &splits[2], &[]).unwrap().0), ["four"]);
    assert_eq!(texts(&case.poll(&mut reader, &splits[0], &offset).unwrap().0), ["two"]);
    assert_eq!(texts(&case.poll(&mut reader, &splits[0], &[]).unwrap().0), ["one"]);
}

#[test]
fn a_reader_looks_at_its_own_roots() {
    let case = Case::new("t", b"one\n", "");
    let split = &case.splits().unwrap()[0];
    let options = Arc::new(FileSourceOptions::parse(&case.options).unwrap());
    let other = tempfile::tempdir().unwrap();
    let roots = FileRoots::only([other.path()]).unwrap();
    let mut reader = FileReader::new(Reading { options, roots, chunk_bytes: 10 });
    assert!(matches!(case.poll(&mut reader, split, &[]), Err(ConnectorError::OutsideRoots { .. })));
}

#[test]
fn foreign_splits_and_offsets_are_refused() {
    let case = Case::new("t", b"one\n", "");
    let split = &case.splits().unwrap()[0];
    for (split, offset) in [(&b"nonsense"[..], &b""[..]), (split, b"1")] {
        assert!(matches!(case.poll(&mut case.reader(), split, offset), Err(ConnectorError::BadSplit { .. })));
    }
}

/// Appends to a file.
fn append(file: &Path, bytes: &[u8]) {
    use std::io::Write;
    fs::OpenOptions::new().append(true).open(file).unwrap().write_all(bytes).unwrap();
}
