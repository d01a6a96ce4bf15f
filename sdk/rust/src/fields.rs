//! Records of byte strings, as native CSV connectors exchange them (the edge format `fields`).

use std::fmt;

use crate::data::{Data, DecodeError, Fingerprint, Reader};

/// A record of fields: a CSV row, without its syntax.
///
/// ```
/// use millrace::Fields;
///
/// let row = Fields::new(["JFK", "13", ""]);
/// assert_eq!((row.text(0), row.text(1), row.text(2), row.text(3)), ("JFK", "13", "", ""));
/// assert_eq!(row.parse::<u32>(1).unwrap(), 13);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fields {
    text: String,
    /// The end of each field in `text`.
    ends: Vec<u32>,
}

/// A field that is not what was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    index: usize,
    text: String,
    wanted: &'static str,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field {} is {:?}, which is no {}", self.index + 1, self.text, self.wanted)
    }
}

impl std::error::Error for FieldError {}

impl Fields {
    /// A record of these fields.
    pub fn new<S: AsRef<str>>(fields: impl IntoIterator<Item = S>) -> Self {
        let mut record = Self { text: String::new(), ends: Vec::new() };
        for field in fields {
            record.text.push_str(field.as_ref());
            record.ends.push(record.text.len() as u32);
        }
        record
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A field, counted from 0, if there is one.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        self.text.get(start..end)
    }

    /// A field, counted from 0; empty if there is none.
    pub fn text(&self, index: usize) -> &str {
        self.get(index).unwrap_or_default()
    }

    /// A field as a number or whatever else can be parsed.
    pub fn parse<T: std::str::FromStr>(&self, index: usize) -> Result<T, FieldError> {
        let text = self.text(index);
        text.parse().map_err(|_| FieldError { index, text: text.to_owned(), wanted: std::any::type_name::<T>() })
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.text(index))
    }

    /// Appends the record in the edge format `fields`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.ends.len() as u32).to_le_bytes());
        for end in &self.ends {
            out.extend_from_slice(&end.to_le_bytes());
        }
        out.extend_from_slice(self.text.as_bytes());
    }

    /// Reads a record in the edge format `fields`.
    pub fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let count = u32::from_le_bytes(input.array()?) as usize;
        let table = input.take(count.saturating_mul(4))?;
        let ends: Vec<u32> = table.as_chunks().0.iter().map(|end| u32::from_le_bytes(*end)).collect();
        let text = input.take(ends.last().map_or(0, |end| *end as usize))?;
        input.end()?;
        let text = std::str::from_utf8(text).map_err(|_| DecodeError::BadUtf8)?;
        if !ends.is_sorted() {
            return Err(DecodeError::Refused("the ends of the fields do not ascend".into()));
        }
        if !ends.iter().all(|end| text.is_char_boundary(*end as usize)) {
            return Err(DecodeError::BadUtf8);
        }
        Ok(Self { text: text.to_owned(), ends })
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Data for Fields {
    const MIN_BYTES: usize = 4;

    fn encode(&self, out: &mut Vec<u8>) {
        self.write(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // The format is meant to end with its row; here it is cut out by its own table.
        let mut ahead = input.clone();
        let count = u32::from_le_bytes(ahead.array()?) as usize;
        let table = ahead.take(count.saturating_mul(4))?;
        let text = table.as_chunks().0.last().map_or(0, |end| u32::from_le_bytes(*end) as usize);
        Self::read(input.take(4 + table.len() + text)?)
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.text("fields");
    }
}

/// What can be written as a record of fields: [`Fields`], lists of strings, and tuples of what can be displayed.
pub trait ToFields {
    /// The record.
    fn to_fields(&self) -> Fields;
}

impl ToFields for Fields {
    fn to_fields(&self) -> Fields {
        self.clone()
    }
}

impl ToFields for Vec<String> {
    fn to_fields(&self) -> Fields {
        Fields::new(self)
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:tt),+))*) => {$(
        impl<$($name: fmt::Display),+> ToFields for ($($name,)+) {
            fn to_fields(&self) -> Fields {
                use fmt::Write;
                let mut record = Fields { text: String::new(), ends: Vec::new() };
                $(
                    // Writing to a string fails only if the value's own Display does; such a field stays empty.
                    let _ = write!(record.text, "{}", self.$index);
                    record.ends.push(record.text.len() as u32);
                )+
                record
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}
