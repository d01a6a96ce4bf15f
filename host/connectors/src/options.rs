//! Reading a connector's options.

use millrace_types::parse_bytes;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};

use crate::ConnectorError;

/// The longest options text, in bytes: a guest writes it.
const OPTIONS_BYTES_MAX: usize = 1024 * 1024;

/// Reads options; what is wrong is named by its path in the JSON object. No text at all is no options.
pub fn parse_options<T: DeserializeOwned>(
    kind: &'static str,
    connector: &'static str,
    options: &str,
) -> Result<T, ConnectorError> {
    let refuse = |reason| ConnectorError::Options { kind, connector, reason };
    if options.len() > OPTIONS_BYTES_MAX {
        return Err(refuse(format!("they have {} bytes, and at most {OPTIONS_BYTES_MAX} are taken", options.len())));
    }
    let text = if options.trim().is_empty() { "{}" } else { options };
    if !text.trim_start().starts_with('{') {
        return Err(refuse("they are not a JSON object".to_owned()));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let options = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        refuse(if path == "." { cause.to_string() } else { format!("option \"{path}\": {cause}") })
    })?;
    json.end().map_err(|error| refuse(error.to_string()))?;
    Ok(options)
}

/// An amount of bytes: a number, or a text such as `64 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl<'de> de::Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of bytes or a text such as \"64 MiB\"")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                parse_bytes(text).map(ByteSize).map_err(E::custom)
            }
        }

        let size = deserializer.deserialize_any(SizeVisitor)?;
        if size.0 == 0 { Err(de::Error::custom("it must not be 0")) } else { Ok(size) }
    }
}
