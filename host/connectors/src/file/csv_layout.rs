//! The columns of a CSV file and those of them that are wanted.

use super::csv::{CsvRecord, bad_field_count};
use super::options::FileSourceOptions;
use crate::ConnectorError;

/// The most names of a header that an error lists.
const NAMES_SHOWN_MAX: usize = 50;

/// Which fields of each record become columns of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvLayout {
    /// The number of fields that every record must have.
    pub fields: usize,
    /// The fields to take, in the order of the row.
    pub wanted: Vec<usize>,
}

impl CsvLayout {
    /// The layout that the first record of the file leads to expect.
    pub fn of(path: &str, first: &CsvRecord<'_>, options: &FileSourceOptions) -> Result<Self, ConnectorError> {
        let fields = first.len();
        let refuse = |reason| ConnectorError::Header { path: path.to_owned(), reason };
        let wanted = match &options.columns {
            None => (0..fields).collect(),
            Some(columns) if options.header() => {
                let names: Vec<&[u8]> = (0..fields).map(|at| first.field(at)).collect();
                columns.iter().map(|column| find(&names, column)).collect::<Result<_, _>>().map_err(refuse)?
            }
            Some(columns) if columns.len() == fields => (0..fields).collect(),
            Some(columns) => {
                let count = columns.len();
                return Err(refuse(format!("its first record has {fields} fields, and \"columns\" names {count}")));
            }
        };
        Ok(Self { fields, wanted })
    }

    /// Fails if a record does not have the fields of the others.
    pub fn check(&self, path: &str, record: &CsvRecord<'_>) -> Result<(), ConnectorError> {
        if record.len() == self.fields {
            return Ok(());
        }
        let found = format!("{} fields instead of the {}", record.len(), self.fields);
        Err(bad_field_count(path, record.position, &found))
    }
}

fn find(names: &[&[u8]], column: &str) -> Result<usize, String> {
    let mut found = names.iter().enumerate().filter(|(_, name)| **name == column.as_bytes()).map(|(at, _)| at);
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => Err(format!("it has several columns \"{column}\"")),
        (None, _) => {
            let mut shown: Vec<_> =
                names.iter().take(NAMES_SHOWN_MAX).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            if shown.len() < names.len() {
                shown.push(format!("… ({} columns)", names.len()));
            }
            Err(format!("it has no column \"{column}\"; its columns are {}", shown.join(", ")))
        }
    }
}
