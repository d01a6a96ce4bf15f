//! The payload format `fields`: a record of byte strings, as native CSV connectors exchange it.
//!
//! ```text
//! 4     f, the number of fields
//! 4*f   for each field its end, counted from the first byte behind this table; the last one is the end of all
//! rest  the fields, back to back
//! ```

/// Why a payload is not a record of fields, or cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// The table is cut off.
    #[error("the record has {len} bytes and no room for the table of its {fields} fields")]
    Table {
        /// The payload's length, in bytes.
        len: usize,
        /// The number of fields that it states; 0 if not even that is there.
        fields: u32,
    },
    /// A field ends before it begins, or behind the record.
    #[error("field {field} begins at {start} and ends at {end} of {data_len} bytes")]
    End {
        /// The field, from 0.
        field: usize,
        /// Where it begins, counted from the end of the table.
        start: u32,
        /// Where it ends.
        end: u32,
        /// The bytes behind the table.
        data_len: usize,
    },
    /// Bytes lie behind the last field.
    #[error("the last field ends at {end} of {data_len} bytes")]
    Trailing {
        /// Where the last field ends, counted from the end of the table.
        end: u32,
        /// The bytes behind the table.
        data_len: usize,
    },
    /// More than the table can describe.
    #[error("the fields have more than 4 GiB: no record may be so long")]
    TooLong,
}

/// A record of fields that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields<'a> {
    ends: &'a [[u8; 4]],
    data: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Checks a payload.
    pub fn parse(payload: &'a [u8]) -> Result<Self, FieldsError> {
        let len = payload.len();
        let (count, rest) = payload.split_first_chunk::<4>().ok_or(FieldsError::Table { len, fields: 0 })?;
        let fields = u32::from_le_bytes(*count);
        let (table, data) = usize::try_from(u64::from(fields) * 4)
            .ok()
            .and_then(|table_len| rest.split_at_checked(table_len))
            .ok_or(FieldsError::Table { len, fields })?;
        let ends = table.as_chunks().0;

        let mut start = 0;
        for (field, end) in ends.iter().enumerate() {
            let end = u32::from_le_bytes(*end);
            if end < start || end as usize > data.len() {
                return Err(FieldsError::End { field, start, end, data_len: data.len() });
            }
            start = end;
        }
        if start as usize != data.len() {
            return Err(FieldsError::Trailing { end: start, data_len: data.len() });
        }
        Ok(Self { ends, data })
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the record has no fields.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The field at a position, from 0.
    pub fn get(&self, at: usize) -> Option<&'a [u8]> {
        let end = u32::from_le_bytes(*self.ends.get(at)?) as usize;
        let start = match at.checked_sub(1) {
            Some(before) => u32::from_le_bytes(*self.ends.get(before)?) as usize,
            None => 0,
        };
        self.data.get(start..end)
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let mut rest = self.data;
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = u32::from_le_bytes(*end);
            let (field, behind) = rest.split_at_checked(end.wrapping_sub(start) as usize).unwrap_or_default();
            rest = behind;
            start = end;
            field
        })
    }
}

/// Appends a record of fields to `out`. On an error `out` is as it was.
pub fn encode_fields<'a, I>(fields: I, out: &mut Vec<u8>) -> Result<(), FieldsError>
where
    I: IntoIterator<Item = &'a [u8]>,
    I::IntoIter: Clone,
{
    let fields = fields.into_iter();
    let begin = out.len();
    let written = append_fields(fields, out);
    if written.is_none() {
        out.truncate(begin);
    }
    written.ok_or(FieldsError::TooLong)
}

fn append_fields<'a>(fields: impl Iterator<Item = &'a [u8]> + Clone, out: &mut Vec<u8>) -> Option<()> {
    let count = u32::try_from(fields.clone().count()).ok()?;
    out.extend_from_slice(&count.to_le_bytes());
    let mut end = 0u32;
    for field in fields.clone() {
        end = end.checked_add(u32::try_from(field.len()).ok()?)?;
        out.extend_from_slice(&end.to_le_bytes());
    }
    out.reserve(end as usize);
    for field in fields {
        out.extend_from_slice(field);
    }
    Some(())
}
