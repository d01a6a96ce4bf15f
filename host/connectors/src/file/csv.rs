//! CSV records out of lines (RFC 4180).
//!
//! Invariants:
//! - A record without quotes costs one search for delimiters and is not copied; only quotes need a parser's states.
//! - Inside quotes a line end is data, kept as it stands in the file, and allowed only where the options say so.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use memchr::{memchr, memchr_iter};
use millrace_types::RECORD_BYTES_MAX;

use super::lines::{Line, LineEnd, too_long};
use crate::ConnectorError;

/// Takes records apart.
pub struct CsvParser {
    delimiter: u8,
    multiline: bool,
    /// A record with more fields is an error.
    fields_max: usize,
    core: Reader,
    /// The fields of a record with quotes, unquoted, back to back.
    unquoted: Vec<u8>,
    unquoted_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    /// The bounds of the fields of the last record.
    bounds: Vec<(usize, usize)>,
    /// Where the record begins whose quotes are open.
    open_since: Option<u64>,
}

/// A record.
pub struct CsvRecord<'a> {
    /// Where it begins.
    pub position: u64,
    data: &'a [u8],
    bounds: &'a [(usize, usize)],
}

impl<'a> CsvRecord<'a> {
    /// The number of fields.
    pub fn len(&self) -> usize {
        self.bounds.len()
    }

    /// A field; empty where there is none.
    pub fn field(&self, at: usize) -> &'a [u8] {
        self.bounds.get(at).map_or(&[], |&(start, end)| &self.data[start..end])
    }
}

/// What a line was.
pub enum Fed<'a> {
    /// The end of a record, mostly a whole one.
    Record(CsvRecord<'a>),
    /// Nothing.
    Blank,
    /// A part of a record.
    Continues,
}

impl CsvParser {
    pub fn new(delimiter: u8, multiline: bool, fields_max: usize) -> Self {
        Self {
            delimiter,
            multiline,
            fields_max,
            core: ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build(),
            unquoted: Vec::new(),
            unquoted_len: 0,
            // One more than allowed, to see that there are too many.
            ends: vec![0; fields_max + 1],
            ends_len: 0,
            bounds: Vec::new(),
            open_since: None,
        }
    }

    /// Whether a record has begun that has not ended.
    pub fn is_open(&self) -> bool {
        self.open_since.is_some()
    }

    /// Takes the next line.
    pub fn feed<'a>(&'a mut self, path: &str, line: Line<'a>) -> Result<Fed<'a>, ConnectorError> {
        if self.open_since.is_none() {
            if line.content.is_empty() {
                return Ok(Fed::Blank);
            }
            if memchr(b'"', line.content).is_none() {
                return self.split_unquoted(path, line).map(Fed::Record);
            }
            (self.unquoted_len, self.ends_len) = (0, 0);
        }
        let position = *self.open_since.get_or_insert(line.position);
        if self.unquoted_len + line.content.len() > RECORD_BYTES_MAX as usize {
            return Err(too_long(path, position));
        }
        let carriage_return = line.end == LineEnd::CarriageReturnNewline;
        self.run(path, position, line.content)?;
        if self.run(path, position, if carriage_return { b"\r\n" } else { b"\n" })? {
            self.open_since = None;
            return Ok(Fed::Record(self.quoted_record(position, usize::from(carriage_return))));
        }
        if line.end == LineEnd::None || !self.multiline {
            return Err(self.unclosed(path, position));
        }
        Ok(Fed::Continues)
    }

    fn split_unquoted<'a>(&'a mut self, path: &str, line: Line<'a>) -> Result<CsvRecord<'a>, ConnectorError> {
        self.bounds.clear();
        let mut start = 0;
        for end in memchr_iter(self.delimiter, line.content).chain([line.content.len()]) {
            if self.bounds.len() == self.fields_max {
                return Err(too_many_fields(path, line.position, self.fields_max));
            }
            self.bounds.push((start, end));
            start = end + 1;
        }
        Ok(CsvRecord { position: line.position, data: line.content, bounds: &self.bounds })
    }

    /// Runs the parser's states over some bytes; whether they ended a record.
    fn run(&mut self, path: &str, position: u64, input: &[u8]) -> Result<bool, ConnectorError> {
        if input.is_empty() {
            // To the parser this would be the end of the file.
            return Ok(false);
        }
        // The output is never longer than the input; a byte more, since a full output stops the parser.
        let room = self.unquoted_len + input.len() + 1;
        if self.unquoted.len() < room {
            self.unquoted.resize(room.max(self.unquoted.len() * 2), 0);
        }
        let (output, ends) = (&mut self.unquoted[self.unquoted_len..], &mut self.ends[self.ends_len..]);
        let (result, _, written, ended) = self.core.read_record(input, output, ends);
        self.unquoted_len += written;
        self.ends_len += ended;
        match result {
            _ if self.ends_len > self.fields_max => Err(too_many_fields(path, position, self.fields_max)),
            ReadRecordResult::OutputEndsFull => Err(too_many_fields(path, position, self.fields_max)),
            ReadRecordResult::OutputFull => Err(too_long(path, position)),
            ReadRecordResult::Record => Ok(true),
            ReadRecordResult::InputEmpty | ReadRecordResult::End => Ok(false),
        }
    }

    /// The record that has ended. So many of its last bytes are a part of the line's end: outside of quotes the
    /// parser takes a carriage return for data.
    fn quoted_record(&mut self, position: u64, line_end: usize) -> CsvRecord<'_> {
        if let Some(last) = self.ends[..self.ends_len].last_mut() {
            *last -= line_end;
        }
        self.bounds.clear();
        let mut start = 0;
        for &end in &self.ends[..self.ends_len] {
            self.bounds.push((start, end));
            start = end;
        }
        CsvRecord { position, data: &self.unquoted[..self.unquoted_len], bounds: &self.bounds }
    }

    /// Fails if the file ends inside of a record.
    pub fn finish(&self, path: &str) -> Result<(), ConnectorError> {
        self.open_since.map_or(Ok(()), |position| Err(self.unclosed(path, position)))
    }

    fn unclosed(&self, path: &str, offset: u64) -> ConnectorError {
        let (reason, remedy) = if self.multiline {
            ("a quote is not closed before the file ends", "close the quote, or double it if it is part of the field")
        } else {
            (
                "a quote is not closed before the line ends",
                "set \"multiline\" to true if quoted fields contain line ends; else close the quote, or double it",
            )
        };
        ConnectorError::BadRecord { path: path.to_owned(), offset, reason: reason.to_owned(), remedy }
    }
}

fn too_many_fields(path: &str, offset: u64, limit: usize) -> ConnectorError {
    bad_field_count(path, offset, &format!("more than the {limit} fields"))
}

/// The error for a record whose number of fields is wrong.
pub fn bad_field_count(path: &str, offset: u64, found: &str) -> ConnectorError {
    ConnectorError::BadRecord {
        path: path.to_owned(),
        offset,
        reason: format!("it has {found} that the first record of the file leads to expect"),
        remedy: "correct the record, or \"delimiter\"; a field that contains the delimiter needs quotes",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The records of a text, fed line by line.
    fn parse(text: &str, multiline: bool, fields_max: usize) -> Result<Vec<Vec<String>>, ConnectorError> {
        let mut parser = CsvParser::new(b',', multiline, fields_max);
        let mut records = Vec::new();
        let mut position = 0;
        for piece in text.split_inclusive('\n') {
            let (content, end) = match piece.strip_suffix("\r\n") {
                Some(content) => (content, LineEnd::CarriageReturnNewline),
                None => piece.strip_suffix('\n').map_or((piece, LineEnd::None), |content| (content, LineEnd::Newline)),
            };
            let line = Line { content: content.as_bytes(), position, end };
            if let Fed::Record(record) = parser.feed("f", line)? {
                let field = |at| String::from_utf8(record.field(at).to_vec()).unwrap();
                records.push((0..record.len()).map(field).collect());
            }
            position += piece.len() as u64;
        }
        parser.finish("f")?;
        Ok(records)
    }

    #[test]
    fn records_are_read_as_the_rfc_says() {
        for (text, expected) in [
            ("a,b\nc,d", vec![vec!["a", "b"], vec!["c", "d"]]),
            ("a,\r\n,\r\n\r\n", vec![vec!["a", ""], vec!["", ""]]),
            ("\"a,b\",c\n", vec![vec!["a,b", "c"]]),
            ("\"a \"\"b\"\"\",\"\"\r\n\"\"\n", vec![vec!["a \"b\"", ""], vec![""]]),
            ("a\"b,c\n", vec![vec!["a\"b", "c"]]),
            ("a\rb,\"c\rd\"\n", vec![vec!["a\rb", "c\rd"]]),
        ] {
            for multiline in [false, true] {
                assert_eq!(parse(text, multiline, 2).unwrap(), expected, "{text:?}");
            }
        }
        let text = "\"a\r\n\n\r\nb\",x\ny,\"\n\"";
        assert_eq!(parse(text, true, 2).unwrap(), [["a\r\n\n\r\nb", "x"], ["y", "\n"]]);
    }

    #[test]
    fn what_is_wrong_says_where_and_what_to_do() {
        for (text, multiline, offset, remedy) in [
            ("a,b\n\"c,d\ne\",f\n", false, 4, "multiline"),
            ("a,b\n\"c,d", true, 4, "close the quote"),
            ("a,b\n\"c,d\n\n", true, 4, "close the quote"),
            ("a,b\n\"c\",d,e\n", true, 4, "delimiter"),
            ("a,b\nc,d,e\n", false, 4, "delimiter"),
            ("a,b\n\"c\",d,", true, 4, "delimiter"),
        ] {
            let error = parse(text, multiline, 2).unwrap_err();
            assert!(error.remedy().unwrap().contains(remedy), "{text:?}: {error}");
            assert!(error.to_string().contains(&format!("at byte {offset}")), "{text:?}: {error}");
        }
    }
}
