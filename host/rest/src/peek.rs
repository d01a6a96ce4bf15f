//! `/jobs/:id/vertices/:vertex/peek`: records on their way to another vertex. Millrace's own.

use std::fmt::Write;

use axum::Json;
use axum::extract::{Path, Query, State};
use millrace_graph::Format;
use millrace_protocol::PeekedRecord as Found;
use millrace_rest_api::{PeekedRecord, PeekedRecords};
use millrace_types::{JobId, VertexId};
use millrace_wire::Fields;
use serde::Deserialize;

use crate::error::RestError;
use crate::path::{path_parameter, query_parameter};
use crate::server::RestState;
use crate::tenant::Tenant;

/// How many records are shown unless stated.
const RECORDS_DEFAULT: u32 = 20;

/// Which records to show.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PeekQuery {
    output: Option<String>,
    limit: Option<String>,
}

/// `GET /jobs/:id/vertices/:vertex/peek?output=VERTEX&limit=N`.
pub(crate) async fn peek(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path((id, vertex)): Path<(String, String)>,
    Query(query): Query<PeekQuery>,
) -> Result<Json<PeekedRecords>, RestError> {
    let (job, vertex): (JobId, VertexId) = (path_parameter("jobid", &id)?, path_parameter("vertexid", &vertex)?);
    let output: Option<VertexId> = query.output.map(|text| query_parameter("output", &text)).transpose()?;
    let limit = query.limit.map_or(Ok(RECORDS_DEFAULT), |text| query_parameter("limit", &text))?;
    let found = state.dispatcher.peek(&tenant, job, vertex, output, limit).await?;
    let truncated = found.more || found.records.iter().any(|record| record.is_cut);
    let records = found.records.iter().map(|record| shown(record, found.format)).collect();
    Ok(Json(PeekedRecords { records, truncated }))
}

fn shown(found: &Found, format: Format) -> PeekedRecord {
    let (format, value) = match format {
        Format::Raw => ("text", text(found)),
        Format::Json => ("json", text(found)),
        Format::Fields => ("fields", fields(&found.payload)),
        // The producer's own codec, of which nobody else knows the types.
        Format::Internal | Format::Msgpack => ("bytes", None),
    };
    let (format, printable) =
        if value.is_some() { (format, None) } else { ("bytes", Some(printable_part(&found.payload))) };
    let value = value.unwrap_or_else(|| hexadecimal(&found.payload));
    PeekedRecord {
        subtask: found.subtask,
        timestamp: found.timestamp,
        format: format.to_owned(),
        value,
        printable,
        key: found.key.as_deref().map(hexadecimal),
        // Keys are in a codec of their producer's own, whatever the record is in.
        printable_key: found.key.as_deref().map(printable_part),
    }
}

/// A record that is text; the last character of one that was cut may be half.
fn text(found: &Found) -> Option<String> {
    match std::str::from_utf8(&found.payload) {
        Ok(text) => Some(text.to_owned()),
        Err(error) if found.is_cut && error.error_len().is_none() => {
            let whole = found.payload.get(..error.valid_up_to())?;
            std::str::from_utf8(whole).ok().map(str::to_owned)
        }
        Err(_) => None,
    }
}

/// A record of byte strings that are texts.
fn fields(payload: &[u8]) -> Option<String> {
    let fields = Fields::parse(payload).ok()?;
    let texts: Option<Vec<&str>> = fields.iter().map(|field| std::str::from_utf8(field).ok()).collect();
    serde_json::to_string(&texts?).ok()
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn printable_part(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millrace_wire::encode_fields;

    use super::*;

    fn record(payload: &[u8], is_cut: bool, format: Format) -> (String, String, Option<String>) {
        let found = Found { subtask: 1, timestamp: None, key: None, payload: Bytes::copy_from_slice(payload), is_cut };
        let shown = shown(&found, format);
        (shown.format, shown.value, shown.printable)
    }

    #[test]
    fn keys_are_shown_beside_records() {
        let (key, payload) = (Some(Bytes::from_static(b"\x02hi")), Bytes::new());
        let found = Found { subtask: 1, timestamp: None, key, payload, is_cut: false };
        let shown = shown(&found, Format::Internal);
        assert_eq!((shown.key.as_deref(), shown.printable_key.as_deref()), (Some("026869"), Some(".hi")));
    }

    #[test]
    fn records_are_shown_as_what_they_are_and_else_as_bytes() {
        let is = |format: &str, value: &str| (format.to_owned(), value.to_owned(), None);
        let bytes = |value: &str, printable: &str| ("bytes".to_owned(), value.to_owned(), Some(printable.to_owned()));
        assert_eq!(record("grün".as_bytes(), false, Format::Raw), is("text", "grün"));
        assert_eq!(record(b"{\"a\":1}", false, Format::Json), is("json", "{\"a\":1}"));
        assert_eq!(record(b"gr\xc3", true, Format::Raw), is("text", "gr"));
        assert_eq!(record(b"gr\xc3", false, Format::Raw), bytes("6772c3", "gr."));
        assert_eq!(record(b"\x02hi\x00", false, Format::Internal), bytes("02686900", ".hi."));
        let mut fields = Vec::new();
        assert!(encode_fields([b"a".as_slice(), b"b,"], &mut fields).is_ok());
        assert_eq!(record(&fields, false, Format::Fields), is("fields", "[\"a\",\"b,\"]"));
        // Half a record of fields is none.
        assert_eq!(record(&fields[..8], true, Format::Fields).0, "bytes");
    }
}
