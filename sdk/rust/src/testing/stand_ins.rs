//! What runs elsewhere: components of other languages, and services that the host asks.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::fields::Fields;
use crate::format::{CsvFields, Decode};
use crate::graph::Format;

/// What a component makes of a row.
pub(super) type Component = Rc<dyn Fn(&[u8]) -> Vec<Vec<u8>>>;

/// What a service answers about a record: status and body.
pub(super) type Service = Rc<dyn Fn(&str) -> (u16, String)>;

/// By name: of a component, and of the operator that asks a service.
#[derive(Clone, Default)]
pub(super) struct StandIns {
    pub components: BTreeMap<String, Component>,
    pub services: BTreeMap<String, Service>,
}

impl StandIns {
    pub fn component(&self, name: &str) -> Result<Component> {
        self.components.get(name).cloned().ok_or_else(|| {
            let hint = "say what it does with PipelineOptions::component";
            Error::msg(format_args!("the component '{name}' does not run here; {hint}"))
        })
    }

    /// What a lookup makes of a row, as the host's operator does.
    pub fn service(&self, name: &str, format: Format) -> Result<Component> {
        let service = self.services.get(name).cloned().ok_or_else(|| {
            let hint = "say what it answers with PipelineOptions::service";
            Error::msg(format_args!("no service is asked here for the operator '{name}'; {hint}"))
        })?;
        Ok(Rc::new(move |row| {
            let text = String::from_utf8_lossy(row);
            let input = match format {
                // What is not as it should be is refused by whoever reads the answer.
                Format::Json => serde_json::from_str(&text).unwrap_or(Value::Null),
                Format::Fields => match <CsvFields as Decode<Fields>>::decode(row) {
                    Ok(fields) => fields.iter().collect(),
                    Err(_) => Value::Null,
                },
                _ => Value::from(text.as_ref()),
            };
            let asked = match &input {
                Value::String(text) if format == Format::Raw => text.clone(),
                other => other.to_string(),
            };
            let (status, body) = service(&asked);
            vec![json!({ "input": input, "status": status, "body": body }).to_string().into_bytes()]
        }))
    }
}
