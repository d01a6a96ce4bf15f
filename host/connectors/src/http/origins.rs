//! The origins that HTTP connectors may reach: what keeps one tenant's job away from the machine's network.
//!
//! Invariants:
//! - An origin is scheme, host and port; a host is compared as it is written, and not by what it resolves to.
//! - A process that sends requests allows no origin that nobody named.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use hyper::http::uri::Authority;

use crate::ConnectorError;

const HTTP_PORT: u16 = 80;

/// Where requests go: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    host: String,
    port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            HTTP_PORT => write!(f, "http://{}", self.host),
            port => write!(f, "http://{}:{port}", self.host),
        }
    }
}

impl Origin {
    /// Takes the origin off the beginning of a URL. Returns it with the rest, which is empty or begins with `/` or `?`.
    pub fn split(url: &str) -> Result<(Self, &str), String> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err("it does not begin with http://".to_owned());
        };
        if scheme.eq_ignore_ascii_case("https") {
            return Err("https is not supported yet: name an http:// service, such as a proxy that adds TLS".to_owned());
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err("it does not begin with http://".to_owned());
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains(['@', '{', '}']) {
            return Err("host and port stand as they are, without a user and without placeholders".to_owned());
        }
        let parsed: Authority = authority.parse().map_err(|_| format!("\"{authority}\" is not HOST or HOST:PORT"))?;
        let stated = authority.len() > parsed.host().len();
        let port = match parsed.port_u16() {
            Some(port) if port > 0 => port,
            None if !stated => HTTP_PORT,
            _ => return Err(format!("\"{authority}\" has no port from 1 to 65535")),
        };
        if parsed.host().is_empty() {
            return Err("it names no host".to_owned());
        }
        Ok((Self { host: parsed.host().to_ascii_lowercase(), port }, rest))
    }
}

/// Which origins HTTP connectors may reach. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpOrigins(Origins);

#[derive(Debug, Clone)]
enum Origins {
    Unrestricted,
    Only(Arc<BTreeSet<Origin>>),
}

impl HttpOrigins {
    /// Allows nothing.
    pub fn none() -> Self {
        Self(Origins::Only(Arc::default()))
    }

    /// Allows whatever an application names: to look at it where no request is sent.
    pub fn unrestricted() -> Self {
        Self(Origins::Unrestricted)
    }

    /// Allows these origins: `http://HOST` or `http://HOST:PORT`.
    ///
    /// # Errors
    /// A text that is none.
    pub fn only<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, ConnectorError> {
        let parse = |text: &str| {
            let refuse = |reason| ConnectorError::Origin { text: text.to_owned(), reason };
            match Origin::split(text).map_err(refuse)? {
                (origin, "" | "/") => Ok(origin),
                _ => Err(refuse("an origin ends with its host or port".to_owned())),
            }
        };
        let origins: Result<BTreeSet<_>, _> = origins.into_iter().map(parse).collect();
        Ok(Self(Origins::Only(Arc::new(origins?))))
    }

    /// Whether requests may go there.
    pub fn check(&self, origin: &Origin) -> Result<(), ConnectorError> {
        let allowed = match &self.0 {
            Origins::Unrestricted => return Ok(()),
            Origins::Only(origins) if origins.contains(origin) => return Ok(()),
            Origins::Only(origins) if origins.is_empty() => "this process has none".to_owned(),
            Origins::Only(origins) => origins.iter().map(Origin::to_string).collect::<Vec<_>>().join(", "),
        };
        Err(ConnectorError::OutsideOrigins { origin: origin.to_string(), allowed })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::split(url).unwrap().0
    }

    #[test]
    fn only_what_is_named_is_allowed() {
        let origins =
            HttpOrigins::only(["http://Service.Example", "http://127.0.0.1:8080/", "http://[::1]:9"]).unwrap();
        for url in
            ["http://service.example/x", "HTTP://SERVICE.example:80?x", "http://127.0.0.1:8080", "http://[::1]:9/{}"]
        {
            origins.check(&origin(url)).unwrap();
        }
        for url in [
            "http://service.example:8080/",
            "http://127.0.0.1/",
            "http://localhost:8080/",
            "http://service.example.evil/",
            "http://[::1]/",
        ] {
            let error = origins.check(&origin(url)).unwrap_err();
            assert!(error.to_string().contains("http://127.0.0.1:8080"), "{error}");
        }
        let error = HttpOrigins::none().check(&origin("http://service.example")).unwrap_err();
        assert!(error.to_string().contains("none") && error.remedy().unwrap().contains("--http-origin"), "{error}");
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for (url, reason) in [
            ("https://service.example", "https is not supported"),
            ("ftp://service.example", "http://"),
            ("service.example", "http://"),
            ("http://", "HOST"),
            ("http://:80", "host"),
            ("http://user@service.example", "user"),
            ("http://{}.example", "placeholders"),
            ("http://a b", "HOST"),
            ("http://service.example:0", "port"),
            ("http://service.example:99999", "port"),
            ("http://service.example:", "port"),
        ] {
            let refused = Origin::split(url).unwrap_err();
            assert!(refused.contains(reason), "{url}: {refused}");
        }
        let error = HttpOrigins::only(["http://service.example/path"]).unwrap_err();
        assert!(error.to_string().contains("http://service.example/path"), "{error}");
    }
}
