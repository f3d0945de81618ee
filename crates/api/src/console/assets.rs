//! The console's pages, embedded in this program where Node built them (`console/`); elsewhere one plain page that says
//! how. Files under `/assets/` have their content's hash in their name and are kept for ever; the rest is asked for anew.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rust_embed::{Embed, EmbeddedFile};
use std::borrow::Cow;

#[derive(Embed)]
#[folder = "../../console/dist"]
struct Built;

/// First segments of the console's pages; the page's own script knows the rest. Nothing of the system is in them, so
/// they are open to everybody who reaches the socket.
const PAGES: [&str; 7] = ["", "assets", "services", "sagas", "events", "routes", "favicon.svg"];

/// Scripts and styles of this address only, no frames, no forms elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const NOT_BUILT: &str = include_str!("not-built.html");

/// Whether the console answers at this path.
pub(crate) fn is_page(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    PAGES.contains(&first)
}

/// The file at this path; where there is none, the page whose script looks at the path itself.
pub(crate) fn page(path: &str, headers: &HeaderMap) -> Response {
    let name = path.trim_start_matches('/');
    let is_file = name.starts_with("assets/") || name == "favicon.svg";
    match (is_file, packed(if is_file { name } else { "index.html" }, headers)) {
        (_, Some((file, encoding))) => found(name, is_file, &file, encoding, headers),
        (true, None) => plain(StatusCode::NOT_FOUND, Body::from("there is no such file\n")),
        (false, None) => {
            let mut response = plain(StatusCode::OK, Body::from(NOT_BUILT));
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, media_type("index.html"));
            response
        }
    }
}

/// The smallest form that the browser reads.
fn packed(name: &str, headers: &HeaderMap) -> Option<(EmbeddedFile, Option<&'static str>)> {
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let accepts = |word: &str| accepted.split([',', ';']).any(|one| one.trim() == word);
    let forms = [("br", ".br"), ("gzip", ".gz")]
        .into_iter()
        .filter(|(word, _)| accepts(word));
    let packed = forms
        .filter_map(|(word, ending)| Some((Built::get(&format!("{name}{ending}"))?, Some(word))))
        .next();
    packed.or_else(|| Built::get(name).map(|file| (file, None)))
}

fn found(
    name: &str,
    is_file: bool,
    file: &EmbeddedFile,
    encoding: Option<&'static str>,
    headers: &HeaderMap,
) -> Response {
    let hash: String = file
        .metadata
        .sha256_hash()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{hash}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag)) {
        plain(StatusCode::NOT_MODIFIED, Body::empty())
    } else {
        let bytes = match &file.data {
            Cow::Borrowed(bytes) => Body::from(*bytes),
            Cow::Owned(bytes) => Body::from(bytes.clone()),
        };
        plain(StatusCode::OK, bytes)
    };
    let for_ever = name.starts_with("assets/");
    let keep = if for_ever {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let fields = response.headers_mut();
    fields.insert(
        header::CONTENT_TYPE,
        media_type(if is_file { name } else { "index.html" }),
    );
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    fields.extend(HeaderValue::try_from(tag).ok().map(|tag| (header::ETAG, tag)));
    fields.extend(encoding.map(|word| (header::CONTENT_ENCODING, HeaderValue::from_static(word))));
    response
}

/// With what holds for every answer of the console.
fn plain(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_TYPE, "application/octet-stream"),
    ];
    response
        .headers_mut()
        .extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

fn media_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_named_and_nothing_else_is_one() {
        for path in [
            "/",
            "/services/orders",
            "/sagas",
            "/events/topics",
            "/routes",
            "/assets/a.js",
            "/favicon.svg",
        ] {
            assert!(is_page(path), "{path}");
        }
        for path in [
            "/v1/sagas",
            "/metrics",
            "/openapi.json",
            "/servicesx",
            "/nothing",
            "/index.html",
        ] {
            assert!(!is_page(path), "{path}");
        }
    }

    #[test]
    fn every_answer_forbids_foreign_scripts_and_no_path_leads_out_of_the_folder() {
        let none = HeaderMap::new();
        for path in [
            "/",
            "/services/x",
            "/assets/../../../Cargo.toml",
            "/assets/none.js",
            "/assets/.gitignore",
        ] {
            let response = page(path, &none);
            assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
            assert_eq!(
                response.status() == StatusCode::NOT_FOUND,
                path.starts_with("/assets/"),
                "{path}"
            );
        }
    }
}
