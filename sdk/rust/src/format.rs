//! What the payload of a record is on an edge that leaves the component.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

use crate::batch::{append, text};
use crate::data::{Data, DecodeError};
use crate::error::{Error, Result};
use crate::fields::{Fields, ToFields};
use crate::graph::Format;

/// Writes records of type `T` to an edge.
pub trait Encode<T>: 'static {
    /// What the edge is declared as.
    const FORMAT: Format;

    /// Appends a record.
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()>;
}

/// Reads records of type `T` from an edge.
pub trait Decode<T>: 'static {
    /// What the edge is declared as.
    const FORMAT: Format;

    /// Reads a record.
    fn decode(bytes: &[u8]) -> Result<T, DecodeError>;
}

/// The format in which a component of another language gets records of type `T` and answers.
pub trait ForeignFormat<T>: Encode<T> + Decode<Self::Output> {
    /// What comes back.
    type Output: Data;
}

/// [`Data`]'s own bytes. Between operators of one component.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Internal;

/// The record is text, or bytes.
#[derive(Debug, Clone, Copy)]
pub struct Raw;

/// The record is one JSON value; `U` is what comes back from another component.
#[derive(Debug, Clone, Copy)]
pub struct Json<U = ()>(PhantomData<fn() -> U>);

/// The record is a list of byte strings.
#[derive(Debug, Clone, Copy)]
pub struct CsvFields;

/// The record is a row of CSV: fields, separated by commas and quoted where needed.
#[derive(Debug, Clone, Copy)]
pub struct CsvLine;

/// [`Data`]'s bytes, declared as bytes. For a sink that does not look at them.
#[derive(Debug, Clone, Copy)]
pub struct Opaque;

/// What a value displays as, declared as text.
#[derive(Debug, Clone, Copy)]
pub struct Shown;

impl<U> Json<U> {
    /// JSON in and out.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<U> Default for Json<U> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Data> Encode<T> for Internal {
    const FORMAT: Format = Format::Internal;

    #[inline]
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        value.encode(out);
        Ok(())
    }
}

impl<T: Data> Decode<T> for Internal {
    const FORMAT: Format = Format::Internal;

    #[inline]
    fn decode(bytes: &[u8]) -> Result<T, DecodeError> {
        T::from_bytes(bytes)
    }
}

impl<T: Data> Encode<T> for Opaque {
    const FORMAT: Format = Format::Raw;

    #[inline]
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        value.encode(out);
        Ok(())
    }
}

impl<T: Data> Decode<T> for Opaque {
    const FORMAT: Format = Format::Raw;

    fn decode(bytes: &[u8]) -> Result<T, DecodeError> {
        T::from_bytes(bytes)
    }
}

impl<T: std::fmt::Display> Encode<T> for Shown {
    const FORMAT: Format = Format::Raw;

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        use std::io::Write;
        write!(out, "{value}").map_err(Error::from)
    }
}

/// What is its own raw form.
pub trait RawRecord: Sized {
    /// The record's bytes.
    fn as_raw(&self) -> &[u8];

    /// The record that these bytes are.
    fn from_raw(bytes: &[u8]) -> Result<Self, DecodeError>;
}

impl RawRecord for String {
    fn as_raw(&self) -> &[u8] {
        self.as_bytes()
    }

    fn from_raw(bytes: &[u8]) -> Result<Self, DecodeError> {
        text(bytes).ok_or(DecodeError::BadUtf8)
    }
}

impl RawRecord for Vec<u8> {
    fn as_raw(&self) -> &[u8] {
        self
    }

    fn from_raw(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }
}

impl<T: RawRecord> Encode<T> for Raw {
    const FORMAT: Format = Format::Raw;

    #[inline]
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        append(out, value.as_raw());
        Ok(())
    }
}

impl<T: RawRecord> Decode<T> for Raw {
    const FORMAT: Format = Format::Raw;

    #[inline]
    fn decode(bytes: &[u8]) -> Result<T, DecodeError> {
        T::from_raw(bytes)
    }
}

impl<T: RawRecord + Data> ForeignFormat<T> for Raw {
    type Output = String;
}

impl<T: Serialize, U: 'static> Encode<T> for Json<U> {
    const FORMAT: Format = Format::Json;

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(out, value).map_err(|error| Error::from(error).context("a record is not JSON"))
    }
}

impl<U: DeserializeOwned + 'static> Decode<U> for Json<U> {
    const FORMAT: Format = Format::Json;

    fn decode(bytes: &[u8]) -> Result<U, DecodeError> {
        serde_json::from_slice(bytes).map_err(|error| DecodeError::Refused(error.to_string()))
    }
}

impl<T: Serialize, U: Data + DeserializeOwned> ForeignFormat<T> for Json<U> {
    type Output = U;
}

impl<T: ToFields> Encode<T> for CsvFields {
    const FORMAT: Format = Format::Fields;

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        value.to_fields().write(out);
        Ok(())
    }
}

impl Decode<Fields> for CsvFields {
    const FORMAT: Format = Format::Fields;

    fn decode(bytes: &[u8]) -> Result<Fields, DecodeError> {
        Fields::read(bytes)
    }
}

impl<T: ToFields> Encode<T> for CsvLine {
    const FORMAT: Format = Format::Raw;

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        let fields = value.to_fields();
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            // A single empty field would be an empty line, which readers skip.
            if field.contains([',', '"', '\n', '\r']) || (field.is_empty() && fields.len() == 1) {
                out.push(b'"');
                out.extend_from_slice(field.replace('"', "\"\"").as_bytes());
                out.push(b'"');
            } else {
                out.extend_from_slice(field.as_bytes());
            }
        }
        Ok(())
    }
}
