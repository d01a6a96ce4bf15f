//! The dashboard: the files of `web-ui/dist`, which are part of the binary.
//!
//! Invariants:
//! - Every process serves its own copy, whether it leads or not: the page comes up while nobody leads.
//! - A file whose name holds a digest of its contents is kept by browsers for ever, any other is asked about each time.
//! - The page may load what this server has and nothing else; nobody else's page may frame it.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

/// A file of the page.
struct File {
    path: &'static str,
    /// An entity tag of its contents, with its quotes.
    tag: &'static str,
    plain: &'static [u8],
    /// In gzip.
    packed: &'static [u8],
}

/// In the order of their paths.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Where the files are whose names hold a digest.
const HASHED: &str = "/assets/";

/// What the page may do: scripts, styles, pictures and requests of its own server only. Its components write rules of style
/// into the page as they run; scripts may not do that.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// The answer, if the request is for a file of the page.
pub(crate) fn answer(request: &Request) -> Option<Response> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let path = match request.uri().path() {
        "/" => "/index.html",
        path => path,
    };
    let at = FILES.binary_search_by(|file| file.path.cmp(path)).ok()?;
    Some(serve(FILES.get(at)?, request))
}

fn serve(file: &File, request: &Request) -> Response {
    let known = lists(request.headers(), header::IF_NONE_MATCH).any(|tag| tag.trim_start_matches("W/") == file.tag);
    let packs = file.packed.len() < file.plain.len() && takes_gzip(request.headers());
    let bytes = if packs { file.packed } else { file.plain };
    let body = if known || request.method() == Method::HEAD { Body::empty() } else { Body::from(bytes) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(file.path)));
    let kept = if file.path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    headers.insert(header::ETAG, HeaderValue::from_static(file.tag));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    if packs {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// The parts of a header that is a list.
fn lists(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Whether the client said that it takes gzip; `q=0` says that it does not.
fn takes_gzip(headers: &HeaderMap) -> bool {
    lists(headers, header::ACCEPT_ENCODING).any(|offer| {
        let (coding, weight) = offer.split_once(';').unwrap_or((offer, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0));
        matches!(coding.trim(), "gzip" | "*") && !refused
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The page as it travels, in bytes: what a browser waits for at its first visit.
    const PAGE_BYTES_MAX: usize = 600_000;

    fn asked(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Option<Response> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        answer(&request.body(Body::empty()).unwrap())
    }

    fn get(path: &str, headers: &[(HeaderName, &str)]) -> Response {
        asked(Method::GET, path, headers).unwrap()
    }

    fn header_of(response: &Response, name: HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn the_page_is_small() {
        let bytes: usize = FILES.iter().map(|file| file.packed.len().min(file.plain.len())).sum();
        assert!(bytes < PAGE_BYTES_MAX, "the page has {bytes} bytes in gzip: {PAGE_BYTES_MAX} are allowed");
    }

    #[test]
    fn what_is_asked_for_again_is_not_sent_again() {
        let first = get("/", &[(header::ACCEPT_ENCODING, "br, gzip")]);
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(header_of(&first, header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(header_of(&first, header::CACHE_CONTROL), "no-cache");
        assert!(header_of(&first, header::CONTENT_SECURITY_POLICY).contains("script-src 'self';"));
        assert_eq!(header_of(&first, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        let tag = header_of(&first, header::ETAG);
        let again = get("/index.html", &[(header::IF_NONE_MATCH, &format!("\"other\", W/{tag}"))]);
        assert_eq!((again.status(), again.headers().get(header::CONTENT_LENGTH)), (StatusCode::NOT_MODIFIED, None));
        assert_eq!(get("/", &[(header::IF_NONE_MATCH, "\"other\"")]).status(), StatusCode::OK);
    }

    #[test]
    fn a_file_with_a_digest_in_its_name_is_kept_and_packed_for_who_takes_it() {
        let script = FILES.iter().find(|file| file.path.starts_with(HASHED) && file.path.ends_with(".js")).unwrap();
        let packed = get(script.path, &[(header::ACCEPT_ENCODING, "gzip;q=0.5")]);
        assert_eq!(header_of(&packed, header::CONTENT_ENCODING), "gzip");
        assert_eq!(header_of(&packed, header::CONTENT_LENGTH), script.packed.len().to_string());
        assert!(header_of(&packed, header::CACHE_CONTROL).contains("immutable"));
        for refused in ["identity", "gzip;q=0", "deflate, br"] {
            let plain = get(script.path, &[(header::ACCEPT_ENCODING, refused)]);
            assert_eq!(header_of(&plain, header::CONTENT_ENCODING), "");
            assert_eq!(header_of(&plain, header::CONTENT_LENGTH), script.plain.len().to_string());
        }
    }

    #[test]
    fn what_is_no_file_of_the_page_is_for_others_to_answer() {
        for path in ["/v1/overview", "/overview", "/assets/", "/../Cargo.toml", "//index.html"] {
            assert!(asked(Method::GET, path, &[]).is_none(), "{path}");
        }
        assert!(asked(Method::POST, "/", &[]).is_none());
        assert_eq!(
            header_of(&asked(Method::HEAD, "/", &[]).unwrap(), header::CONTENT_TYPE),
            "text/html; charset=utf-8"
        );
    }
}
