//! Reads the records of one split into batches.

use millrace_types::RECORD_BYTES_MAX;
use millrace_wire::{BatchBuilder, encode_fields};
use serde::de::IgnoredAny;

use super::csv::{CsvParser, Fed};
use super::csv_layout::CsvLayout;
use super::lines::{BYTE_ORDER_MARK, Line, LineReader, Next, too_long};
use super::options::{COLUMNS_MAX, FileFormat, FileSourceOptions};
use super::reader::Reading;
use super::split::FileSplit;
use crate::ConnectorError;

/// An open split.
pub struct SplitReader {
    lines: LineReader,
    records: Records,
    /// Records that begin here or later belong to others.
    end: u64,
    /// Where the next record begins.
    position: u64,
}

/// What the records are.
enum Records {
    Lines,
    Json,
    Csv(Box<CsvRecords>),
}

struct CsvRecords {
    parser: CsvParser,
    layout: CsvLayout,
    /// A row being put together.
    row: Vec<u8>,
}

/// Why reading stopped.
enum Stopped {
    /// The batch is full.
    Full,
    /// Nothing complete is buffered.
    NeedMore,
    /// The split is read.
    End,
}

impl SplitReader {
    /// Opens a split at a position that [`SplitReader::position`] gave; `None`: at its first record.
    pub async fn open(split: &FileSplit, position: Option<u64>, reading: &Reading) -> Result<Self, ConnectorError> {
        let options = &reading.options;
        let mut lines = LineReader::open(split, reading).await?;
        let may_own_the_first = split.start <= BYTE_ORDER_MARK.len() as u64;
        if options.format == FileFormat::Csv || (options.format == FileFormat::JsonLines && may_own_the_first) {
            lines.skip_byte_order_mark().await?;
        }
        let records = match options.format {
            FileFormat::Lines => Records::Lines,
            FileFormat::JsonLines => Records::Json,
            FileFormat::Csv => {
                let data_begin = lines.position();
                let layout = read_layout(&mut lines, options).await?;
                if !options.header() {
                    // The first record is data too.
                    lines = LineReader::open(split, reading).await?;
                    lines.advance_to(data_begin).await?;
                }
                let parser = CsvParser::new(options.delimiter(), options.multiline(), layout.fields);
                Records::Csv(Box::new(CsvRecords { parser, layout, row: Vec::new() }))
            }
        };
        match position {
            Some(position) => lines.advance_to(position).await?,
            None if split.start > lines.position() => {
                // A record that begins right at the start is found behind the line end before it.
                lines.advance_to(split.start - 1).await?;
                lines.skip_line().await?;
            }
            None => {}
        }
        let end = if split.gzip { u64::MAX } else { split.end };
        Ok(Self { position: lines.position(), lines, records, end })
    }

    /// Where the next record begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Appends about so many bytes of rows; whether the split is read to its end.
    pub async fn read(&mut self, out: &mut BatchBuilder, max_bytes: usize) -> Result<bool, ConnectorError> {
        let target = out.byte_len().saturating_add(max_bytes.max(1));
        loop {
            match self.fill(out, target)? {
                Stopped::Full => return Ok(false),
                Stopped::NeedMore => self.lines.refill().await?,
                Stopped::End => {
                    self.lines.check_unchanged().await?;
                    return Ok(true);
                }
            }
        }
    }

    /// Appends rows from what is buffered.
    fn fill(&mut self, out: &mut BatchBuilder, target: usize) -> Result<Stopped, ConnectorError> {
        let path = self.lines.shared_path();
        loop {
            let between = !matches!(&self.records, Records::Csv(csv) if csv.parser.is_open());
            if between {
                self.position = self.lines.position();
                if self.position >= self.end {
                    return Ok(Stopped::End);
                }
                if out.byte_len() >= target {
                    return Ok(Stopped::Full);
                }
            }
            match self.lines.next()? {
                Next::Line(line) => self.records.take(&path, line, out)?,
                Next::NeedMore => return Ok(Stopped::NeedMore),
                Next::End => {
                    if let Records::Csv(csv) = &self.records {
                        csv.parser.finish(&path)?;
                    }
                    return Ok(Stopped::End);
                }
            }
        }
    }
}

impl Records {
    #[inline]
    fn take(&mut self, path: &str, line: Line<'_>, out: &mut BatchBuilder) -> Result<(), ConnectorError> {
        match self {
            Self::Lines => out.push(None, None, line.content),
            Self::Json => {
                if !line.content.trim_ascii().is_empty() {
                    check_json(path, line)?;
                    out.push(None, None, line.content);
                }
            }
            Self::Csv(csv) => csv.take(path, line, out)?,
        }
        Ok(())
    }
}

impl CsvRecords {
    fn take(&mut self, path: &str, line: Line<'_>, out: &mut BatchBuilder) -> Result<(), ConnectorError> {
        if let Fed::Record(record) = self.parser.feed(path, line)? {
            self.layout.check(path, &record)?;
            self.row.clear();
            let fields = self.layout.wanted.iter().map(|&at| record.field(at));
            let encoded = encode_fields(fields, &mut self.row);
            // Columns may be named several times, and each has an entry in the row's table.
            if encoded.is_err() || self.row.len() > RECORD_BYTES_MAX as usize {
                return Err(too_long(path, record.position));
            }
            out.push(None, None, &self.row);
        }
        Ok(())
    }
}

fn check_json(path: &str, line: Line<'_>) -> Result<(), ConnectorError> {
    let checked: Result<IgnoredAny, _> = serde_json::from_slice(line.content);
    checked.map(|_| ()).map_err(|error| ConnectorError::BadRecord {
        path: path.to_owned(),
        offset: line.position,
        reason: format!("it is not one JSON value ({error})"),
        remedy: "every line has to be one JSON value of its own; correct the line",
    })
}

/// Reads the first record of the file. A file without any has no columns.
async fn read_layout(lines: &mut LineReader, options: &FileSourceOptions) -> Result<CsvLayout, ConnectorError> {
    let path = lines.shared_path();
    let mut parser = CsvParser::new(options.delimiter(), options.multiline(), COLUMNS_MAX);
    loop {
        match lines.next()? {
            Next::Line(line) => {
                if let Fed::Record(first) = parser.feed(&path, line)? {
                    return CsvLayout::of(&path, &first, options);
                }
            }
            Next::NeedMore => lines.refill().await?,
            Next::End => {
                parser.finish(&path)?;
                return Ok(CsvLayout { fields: 0, wanted: Vec::new() });
            }
        }
    }
}
