//! What a request and its answer say of a record.

use millrace_wire::Fields;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The format of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordFormat {
    /// Text.
    #[default]
    Raw,
    /// A JSON value.
    Json,
    /// A list of texts.
    Fields,
}

/// A record that was looked at.
pub enum Record<'a> {
    Text(&'a str),
    /// A JSON value, parsed if its members are asked for.
    Json(&'a str, Option<Value>),
    Fields(Vec<&'a str>),
}

impl<'a> Record<'a> {
    /// Looks at a record; with `members`, so that [`Record::field`] finds those of a JSON object.
    pub fn parse(format: RecordFormat, payload: &'a [u8], members: bool) -> Result<Self, String> {
        let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned());
        let no_json = |error: serde_json::Error| format!("it is not JSON: {error}");
        match format {
            RecordFormat::Raw => Ok(Self::Text(utf8(payload)?)),
            RecordFormat::Json => {
                let text = utf8(payload)?;
                if members {
                    return Ok(Self::Json(text, Some(serde_json::from_str(text).map_err(no_json)?)));
                }
                serde_json::from_str::<IgnoredAny>(text).map_err(no_json)?;
                Ok(Self::Json(text, None))
            }
            RecordFormat::Fields => {
                let fields = Fields::parse(payload).map_err(|error| error.to_string())?;
                fields.iter().map(utf8).collect::<Result<_, _>>().map(Self::Fields)
            }
        }
    }

    /// The record as one text: that of raw records, else JSON.
    pub fn text(&self) -> Result<String, String> {
        Ok(match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Json(..) | Self::Fields(_) => self.json(),
        })
    }

    /// The record as JSON.
    pub fn json(&self) -> String {
        match self {
            Self::Text(text) => Value::from(*text).to_string(),
            Self::Json(text, _) => (*text).to_owned(),
            Self::Fields(fields) => Value::from(fields.clone()).to_string(),
        }
    }

    /// A field by its name, or its number from 0.
    pub fn field(&self, name: &str) -> Result<String, String> {
        match self {
            Self::Text(_) => Err("it has no fields".to_owned()),
            Self::Json(_, value) => match value.as_ref().and_then(|value| value.get(name)) {
                Some(Value::String(text)) => Ok(text.clone()),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
                Some(_) => Err(format!("its member \"{name}\" is neither a text, nor a number, nor true or false")),
                None => Err(format!("it has no member \"{name}\"")),
            },
            Self::Fields(fields) => {
                let field = name.parse().ok().and_then(|at: usize| fields.get(at));
                field.map(|field| (*field).to_owned()).ok_or_else(|| format!("it has no field number {name}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_format_has_a_text_and_json() {
        let mut fields = Vec::new();
        millrace_wire::encode_fields([&b"a"[..], b"", b"c\"d"], &mut fields).unwrap();
        for (format, payload, text, json) in [
            (RecordFormat::Raw, &b"a\"b"[..], "a\"b", r#""a\"b""#),
            (RecordFormat::Json, br#"{"a": 1}"#, r#"{"a": 1}"#, r#"{"a": 1}"#),
            (RecordFormat::Fields, &fields, r#"["a","","c\"d"]"#, r#"["a","","c\"d"]"#),
        ] {
            let record = Record::parse(format, payload, false).unwrap();
            assert_eq!((record.text().unwrap().as_str(), record.json().as_str()), (text, json));
        }
        let record = Record::parse(RecordFormat::Fields, &fields, true).unwrap();
        assert_eq!((record.field("2").unwrap().as_str(), record.field("3").is_err()), ("c\"d", true));
    }

    #[test]
    fn broken_records_are_refused() {
        for payload in [&b""[..], b"\x01\0\0\0", b"\x01\0\0\0\x02\0\0\0x", b"\xff\xff\xff\xff", b"\x00\0\0\0x"] {
            assert!(Record::parse(RecordFormat::Fields, payload, false).is_err(), "{payload:?}");
        }
        assert!(Record::parse(RecordFormat::Json, b"{", false).is_err());
    }
}
