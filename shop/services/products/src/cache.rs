//! Answers that may be kept: for a minute without asking, and after that as long as nothing has changed.
//!
//! The `ETag` is made of the body itself, so it is the same from every instance and changes exactly when the answer does.
//!
//! Tests: below, and over HTTP in `tests/http.rs`.

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// How long a catalogue page may be shown without asking again. Prices of orders do not come from there.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// `body` with its validators, or 304 when the request's `If-None-Match` names it.
pub fn answer(request: &HeaderMap, content_type: &'static str, body: Vec<u8>) -> Response {
    let tag = etag(&body);
    let fresh = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|value| names(value, &tag));
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, content_type)], Body::from(body)).into_response()
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
    response
}

fn etag(body: &[u8]) -> String {
    let hash = digest(&SHA256, body);
    let half: String = hash
        .as_ref()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{half}\"")
}

/// Whether an `If-None-Match` names `tag`; a weak tag is as good as a strong one here (RFC 9110, 13.1.2).
fn names(value: &HeaderValue, tag: &str) -> bool {
    let Ok(value) = value.to_str() else { return false };
    value
        .split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(if_none_match: &str) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::try_from(if_none_match).unwrap());
        answer(&headers, "application/json", b"{}".to_vec()).status().as_u16()
    }

    #[test]
    fn a_tag_that_still_fits_is_answered_without_a_body() {
        let tag = etag(b"{}");
        for fits in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            "*".to_owned(),
        ] {
            assert_eq!(status(&fits), 304, "{fits}");
        }
        assert_eq!(status("\"other\""), 200);
    }

    #[test]
    fn another_body_has_another_tag() {
        assert_ne!(etag(b"{}"), etag(b"[]"));
    }
}
