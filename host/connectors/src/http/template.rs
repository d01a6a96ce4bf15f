//! URLs with placeholders: `{}` is the record, `{name}` a field of it.

use super::origins::Origin;
use super::record::Record;

/// The longest URL, in bytes: most servers take no longer one.
const URL_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Record,
    Field(String),
}

/// A URL with placeholders.
#[derive(Debug, Clone)]
pub struct UrlTemplate {
    text: String,
    origin: Origin,
    parts: Vec<Part>,
}

impl UrlTemplate {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("it has {} bytes, and at most {URL_BYTES_MAX} are taken", text.len()));
        }
        let (origin, mut rest) = Origin::split(text)?;
        if rest.contains('#') {
            return Err("a fragment is not sent to a service".to_owned());
        }
        let mut parts = Vec::new();
        while let Some(brace) = rest.find(['{', '}']) {
            let (before, placeholder) = rest.split_at(brace);
            parts.push(Part::Text(before.to_owned()));
            let name = placeholder.strip_prefix('{').and_then(|behind| behind.split_once('}'));
            let (name, behind) = name.filter(|(name, _)| !name.contains('{')).ok_or("a brace has no partner")?;
            parts.push(if name.is_empty() { Part::Record } else { Part::Field(name.to_owned()) });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Self { text: text.to_owned(), origin, parts };
        match template.fill(|_| Ok("x".to_owned())) {
            Ok(url) if url.parse::<hyper::Uri>().is_ok() => Ok(template),
            _ => Err("it has characters that a URL cannot have".to_owned()),
        }
    }

    /// Where requests go, whatever the records are.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The URL as it was given, for messages: what is filled in may be confidential.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the fields.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(name) => Some(name.as_str()),
            Part::Text(_) | Part::Record => None,
        })
    }

    fn fill<'a>(&'a self, value: impl Fn(&'a Part) -> Result<String, String>) -> Result<String, String> {
        let mut url = self.origin.to_string();
        let path = url.len();
        for part in &self.parts {
            match part {
                Part::Text(text) => url.push_str(text),
                Part::Record | Part::Field(_) => encode(&value(part)?, &mut url),
            }
        }
        if !url[path..].starts_with('/') {
            url.insert(path, '/');
        }
        if url.len() > URL_BYTES_MAX {
            return Err(format!("its URL has {} bytes, and at most {URL_BYTES_MAX} are sent", url.len()));
        }
        Ok(url)
    }

    /// The URL for a record.
    pub fn url(&self, record: &Record<'_>) -> Result<hyper::Uri, String> {
        let url = self.fill(|part| match part {
            Part::Field(name) => record.field(name),
            Part::Record | Part::Text(_) => record.text(),
        })?;
        url.parse().map_err(|_| "its URL is malformed".to_owned())
    }
}

/// Appends a value as part of a path or query: everything but letters, digits and `-._~` is escaped.
fn encode(value: &str, url: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push('%');
            url.push(char::from(DIGITS[usize::from(byte >> 4)]));
            url.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::http::record::RecordFormat;

    fn filled(template: &str, format: RecordFormat, payload: &[u8]) -> Result<String, String> {
        let template = UrlTemplate::parse(template).unwrap();
        let record = Record::parse(format, payload, true)?;
        template.url(&record).map(|url| url.to_string())
    }

    #[test]
    fn what_is_filled_in_stays_a_value() {
        for (template, payload, url) in [
            ("http://a:1/x/{}", "a b/ä?&#@", "http://a:1/x/a%20b%2F%C3%A4%3F%26%23%40"),
            ("http://a:1/{}", "../x", "http://a:1/..%2Fx"),
            ("http://a?q={}", "1", "http://a/?q=1"),
            ("http://A", "1", "http://a/"),
        ] {
            assert_eq!(filled(template, RecordFormat::Raw, payload.as_bytes()).unwrap(), url);
        }
        let json = br#"{"id": 7, "name": "a&b", "deep": {}}"#;
        let url = filled("http://a/{id}?n={name}", RecordFormat::Json, json).unwrap();
        assert_eq!(url, "http://a/7?n=a%26b");
        for field in ["deep", "none"] {
            let refused = filled(&format!("http://a/{{{field}}}"), RecordFormat::Json, json).unwrap_err();
            assert!(refused.contains(field), "{refused}");
        }
        assert!(filled("http://a/{}", RecordFormat::Raw, &[b'x'; URL_BYTES_MAX]).unwrap_err().contains("bytes"));
        assert!(filled("http://a/{}", RecordFormat::Raw, b"\xff").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn a_template_that_can_never_be_a_url_is_refused() {
        for template in [
            "http://a/{",
            "http://a/}",
            "http://a/{a{b}",
            "http://a/x y",
            "http://a/#x",
            "/x",
            "http://{}",
            "http://a:1{}",
        ] {
            assert!(UrlTemplate::parse(template).is_err(), "{template}");
        }
    }
}
