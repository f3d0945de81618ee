//! A JSON body: read whole, bounded, decoded with an error that says where it went wrong.

use axum::body::Body;
use axum::extract::FromRequest;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::Problem;

/// Largest body that is read, in bytes. The shop's largest, an order of 100 lines, has 6 KiB.
pub const MAX_BODY: usize = 256 * 1024;

/// A decoded body and the bytes that it came from; a key's fingerprint is made of these.
#[derive(Clone, Debug)]
pub struct JsonBody<T> {
    /// Decoded.
    pub value: T,
    /// As it was sent.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            let title = "The body must be JSON: Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", title));
        }
        let bytes = match Limited::new(request.into_body(), MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
                let title = format!("The body is larger than {MAX_BODY} bytes");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", title));
            }
            Err(_) => return Err(Problem::bad_request("body_cut_short", "The body ended before its end")),
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self { value, bytes }),
            Err(error) => Err(Problem::bad_request(
                "bad_body",
                format!("The body does not fit: {error}"),
            )),
        }
    }
}

fn is_json(request: &Request<Body>) -> bool {
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}
