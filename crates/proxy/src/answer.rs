//! The answers that the proxy makes itself. Each says so: `Proxy-Status` (RFC 9209) with an error word, and a problem
//! document (RFC 9457) with a code whose page tells what to do. Clients of gRPC and gRPC-Web get a status instead of a document.
//!
//! The three words for which [`Word::is_not_sent`] holds promise that no instance saw the request; sagas rest on it.

use crate::exchange::Response;
use crate::filter::Denied;
use crate::grpc_web::{Dialect, GRPC};
use crate::message::{Body, Fields, RequestHead, ResponseHead};
use http::StatusCode;
use ondol_core::error::ErrorCode;

/// An error word of RFC 9209, section 2.3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Word {
    /// There is nobody to send it to: no instance, none well, or the breaker is open.
    DestinationUnavailable,
    /// No route or edge leads there.
    DestinationNotFound,
    /// The instance takes no connections.
    ConnectionRefused,
    /// There are too many connections or requests on the way already.
    ConnectionLimitReached,
    /// No connection in time.
    ConnectionTimeout,
    /// The connection ended before the answer.
    ConnectionTerminated,
    /// No answer in time.
    HttpResponseTimeout,
    /// The answer broke off.
    HttpResponseIncomplete,
    /// The answer is not HTTP.
    HttpProtocolError,
    /// The request is at fault.
    HttpRequestError,
    /// The client may not.
    HttpRequestDenied,
    /// We are at fault.
    ProxyInternalError,
}

impl Word {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DestinationUnavailable => "destination_unavailable",
            Self::DestinationNotFound => "destination_not_found",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionLimitReached => "connection_limit_reached",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionTerminated => "connection_terminated",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::HttpResponseIncomplete => "http_response_incomplete",
            Self::HttpProtocolError => "http_protocol_error",
            Self::HttpRequestError => "http_request_error",
            Self::HttpRequestDenied => "http_request_denied",
            Self::ProxyInternalError => "proxy_internal_error",
        }
    }

    /// Whether it is certain that no instance got the request.
    pub fn is_not_sent(self) -> bool {
        matches!(
            self,
            Self::DestinationUnavailable | Self::ConnectionRefused | Self::ConnectionLimitReached
        )
    }
}

impl From<Denied> for Answer {
    fn from(denied: Denied) -> Self {
        let mut fields = Fields::new();
        denied.fields.iter().for_each(|(name, value)| fields.push(name, value));
        let (status, code, word) = (denied.status, denied.code, denied.word);
        Self {
            status,
            code,
            word,
            detail: denied.detail,
            fields,
        }
    }
}

/// An answer of our own.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// The page that explains it.
    pub code: ErrorCode,
    /// Its error word.
    pub word: Word,
    /// What is wrong and what to do, for a person.
    pub detail: String,
    /// Further fields, such as `retry-after`.
    pub fields: Fields,
}

impl Answer {
    /// One without further fields.
    pub fn new(status: StatusCode, code: ErrorCode, word: Word, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            word,
            detail: detail.into(),
            fields: Fields::new(),
        }
    }

    /// With `Retry-After`, seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.fields.set("retry-after", seconds.to_string());
        self
    }

    /// As it is sent to this client.
    pub fn into_response(self, request: &RequestHead) -> Response<'static> {
        let grpc = is_grpc(request).then(|| GRPC.to_owned());
        self.render(grpc.or_else(|| Some(Dialect::of(request)?.content_type(""))))
    }

    /// As it is sent where there is no request to speak of.
    pub fn into_bare_response(self) -> Response<'static> {
        self.render(None)
    }

    /// `grpc`: the content type of a gRPC client.
    fn render(self, grpc: Option<String>) -> Response<'static> {
        let mut head = ResponseHead {
            status: self.status,
            fields: self.fields,
        };
        head.fields.push(
            "proxy-status",
            format!("ondol; error={}; details=\"{}\"", self.word.as_str(), self.code),
        );
        if let Some(kind) = grpc {
            // A trailers-only answer: gRPC clients read nothing else.
            head.status = StatusCode::OK;
            head.fields.push("content-type", kind);
            head.fields
                .push("grpc-status", grpc_status(self.status, self.word).to_string());
            head.fields.push("grpc-message", percent_encode(&self.detail));
            return Response {
                head,
                body: Body::Empty,
                tunnel: None,
            };
        }
        let problem = serde_json::json!({
            "type": format!("urn:ondol:error:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code.as_str(),
            "detail": self.detail,
        });
        head.fields.push("content-type", "application/problem+json");
        Response {
            head,
            body: Body::Full(problem.to_string().into()),
            tunnel: None,
        }
    }
}

/// Whether this is a gRPC call (not gRPC-Web: [`Dialect`]).
pub fn is_grpc(request: &RequestHead) -> bool {
    let kind = request.fields.get("content-type").unwrap_or_default();
    kind == b"application/grpc" || kind.starts_with(b"application/grpc+") || kind.starts_with(b"application/grpc;")
}

/// The gRPC status for an HTTP one: gRPC's own table (`http-grpc-status-mapping.md`), where 504 is a deadline, and a failure
/// before anything was sent is UNAVAILABLE whatever its status: a route without any weight is a 500 (GRPCRoute).
fn grpc_status(status: StatusCode, word: Word) -> u8 {
    match status.as_u16() {
        500 if word.is_not_sent() => 14,
        400 => 13,             // INTERNAL
        401 => 16,             // UNAUTHENTICATED
        403 => 7,              // PERMISSION_DENIED
        404 => 12,             // UNIMPLEMENTED
        413 | 431 => 8,        // RESOURCE_EXHAUSTED
        429 | 502 | 503 => 14, // UNAVAILABLE
        408 | 504 => 4,        // DEADLINE_EXCEEDED
        500 => 13,             // INTERNAL
        _ => 2,                // UNKNOWN
    }
}

/// `grpc-message` is percent-encoded UTF-8.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn unavailable() -> Answer {
        let detail = "no instance of pay – try 100%";
        let code = ErrorCode::new("GW-021");
        Answer::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code,
            Word::DestinationUnavailable,
            detail,
        )
        .retry_after(1)
    }

    #[test]
    fn an_answer_names_its_code_and_its_error_word() {
        let request = RequestHead::new(Method::GET, "a", "/").expect("valid");
        let response = unavailable().into_response(&request);
        let status = response.head.fields.get_str("proxy-status");
        assert_eq!(status, Some("ondol; error=destination_unavailable; details=\"GW-021\""));
        let Body::Full(body) = response.body else {
            panic!("a whole body")
        };
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            (problem["code"].as_str(), problem["status"].as_u64()),
            (Some("GW-021"), Some(503))
        );
        assert_eq!(response.head.fields.get_str("retry-after"), Some("1"));
    }

    #[test]
    fn a_grpc_client_gets_a_status_instead_of_a_document() {
        let mut request = RequestHead::new(Method::POST, "a", "/p.S/M").expect("valid");
        request.fields.push("content-type", "application/grpc+proto");
        let response = unavailable().into_response(&request);
        let field = |name| response.head.fields.get_str(name);
        assert_eq!(
            (response.head.status, field("grpc-status")),
            (StatusCode::OK, Some("14"))
        );
        assert_eq!(field("grpc-message"), Some("no instance of pay %E2%80%93 try 100%25"));
        assert!(response.body.is_empty());
    }

    #[test]
    fn a_grpc_web_client_gets_it_as_its_own_kind() {
        let mut request = RequestHead::new(Method::POST, "a", "/p.S/M").expect("valid");
        request.fields.push("content-type", "application/grpc-web-text+proto");
        let response = unavailable().into_response(&request);
        let field = |name| response.head.fields.get_str(name);
        assert_eq!(field("content-type"), Some("application/grpc-web-text+proto"));
        assert_eq!(
            (response.head.status, field("grpc-status")),
            (StatusCode::OK, Some("14"))
        );
        assert!(response.body.is_empty());
    }
}
