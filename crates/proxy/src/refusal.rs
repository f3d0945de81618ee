//! The refusals of the proxy itself, one function each: what happened in, the answer to give out.
//!
//! The codes are GW-008 to GW-031 and GW-075; those of heads are `check`'s, those of filters and clusters their own.

use crate::answer::{Answer, Word};
use crate::cluster::{Endpoint, Unavailable};
use crate::message::{BodyError, RequestHead};
use crate::route::Route;
use crate::tls::handshake::Session;
use crate::upstream::Failure;
use http::StatusCode;
use ondol_core::error::ErrorCode;
use ondol_core::id::ServiceName;

/// There is no snapshot yet.
pub fn not_ready() -> Answer {
    let detail = "the proxy has not been told yet what to serve";
    let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::new("GW-030"));
    Answer::new(status, code, Word::DestinationUnavailable, detail).retry_after(1)
}

/// The listener or edge is gone.
pub fn no_such_socket() -> Answer {
    let detail = "this edge or listener is not part of the system any more";
    Answer::new(
        StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::new("GW-030"),
        Word::DestinationUnavailable,
        detail,
    )
}

/// Nothing takes it.
pub fn no_route(head: &RequestHead) -> Answer {
    let detail = format!("no route takes {} {}", head.method, head.path());
    Answer::new(
        StatusCode::NOT_FOUND,
        ErrorCode::new("GW-010"),
        Word::DestinationNotFound,
        detail,
    )
}

/// It came over a connection with the certificate of another host.
pub fn misdirected(head: &RequestHead) -> Answer {
    let detail = format!(
        "this connection was made for another host than {}; open one of its own",
        head.host()
    );
    Answer::new(
        StatusCode::MISDIRECTED_REQUEST,
        ErrorCode::new("GW-063"),
        Word::HttpRequestError,
        detail,
    )
}

/// A caller of another system that may not call what it asks for.
pub fn not_a_caller(session: Option<&Session>) -> Answer {
    let caller = session
        .and_then(|session| session.client.as_deref())
        .unwrap_or("nobody");
    let server = session.and_then(Session::server).unwrap_or("no service");
    let detail = format!("{caller} may not call {server}; `callers` of its service.yaml says who may");
    Answer::new(
        StatusCode::FORBIDDEN,
        ErrorCode::new("GW-079"),
        Word::HttpRequestDenied,
        detail,
    )
}

/// Its tokens cannot be checked, ever.
pub fn no_issuer(route: &Route) -> Answer {
    internal(&format!("the token issuer of route {} is not known", route.spec.name))
}

/// It needs a key.
pub fn no_key() -> Answer {
    let detail =
        "this route needs an Idempotency-Key: any text that is new for a new request and the same for a repeat";
    Answer::new(
        StatusCode::BAD_REQUEST,
        ErrorCode::new("GW-031"),
        Word::HttpRequestError,
        detail,
    )
}

/// Its target is gone.
pub fn nowhere() -> Answer {
    let detail = "the target is not part of the system";
    Answer::new(
        StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::new("GW-021"),
        Word::DestinationUnavailable,
        detail,
    )
}

/// Nobody may have it.
pub fn no_weight(route: &Route) -> Answer {
    let detail = format!("all backends of route {} have the weight 0", route.spec.name);
    Answer::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::new("GW-080"),
        Word::DestinationUnavailable,
        detail,
    )
}

/// We are at fault.
pub fn internal(detail: &str) -> Answer {
    Answer::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::new("GW-029"),
        Word::ProxyInternalError,
        detail,
    )
}

/// Its time was over before it could be sent.
pub fn too_late(service: &ServiceName) -> Answer {
    let detail = format!("the deadline had passed before {} could be called", service);
    Answer::new(
        StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::new("GW-025"),
        Word::HttpResponseTimeout,
        detail,
    )
}

/// Its time was over before the instance answered.
pub fn no_answer(endpoint: &Endpoint) -> Answer {
    let detail = format!("{} did not answer in time", endpoint.instance);
    Answer::new(
        StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::new("GW-025"),
        Word::HttpResponseTimeout,
        detail,
    )
}

/// The attempt failed.
pub fn failed(endpoint: &Endpoint, failure: &Failure) -> Answer {
    let detail = format!("{}: {failure}", endpoint.instance);
    let word = failure.word();
    let (status, code) = match word {
        Word::ConnectionRefused => (StatusCode::BAD_GATEWAY, ErrorCode::new("GW-020")),
        Word::ConnectionLimitReached => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::new("GW-022")),
        Word::ConnectionTimeout => (StatusCode::GATEWAY_TIMEOUT, ErrorCode::new("GW-023")),
        Word::HttpProtocolError => (StatusCode::BAD_GATEWAY, ErrorCode::new("GW-026")),
        _ => (StatusCode::BAD_GATEWAY, ErrorCode::new("GW-024")),
    };
    Answer::new(status, code, word, detail)
}

/// A WebSocket was asked for over HTTP/2, and what came back opens none.
pub fn not_a_websocket(why: &str) -> Answer {
    let detail = format!("no WebSocket was opened: {why}");
    Answer::new(
        StatusCode::BAD_GATEWAY,
        ErrorCode::new("GW-071"),
        Word::HttpProtocolError,
        detail,
    )
}

/// The controller is away.
pub fn controller_away(failure: &Failure) -> Answer {
    let word = if failure.is_not_sent() {
        Word::DestinationUnavailable
    } else {
        failure.word()
    };
    let detail = "the controller is away for a moment; nothing is lost, ask again with the same key";
    Answer::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::new("GW-027"), word, detail).retry_after(1)
}

/// There is nobody to send it to.
pub fn unavailable(why: &Unavailable) -> Answer {
    let word = Word::DestinationUnavailable;
    let answer = Answer::new(StatusCode::SERVICE_UNAVAILABLE, why.code(), word, why.to_string());
    match why.retry_after() {
        Some(span) => answer.retry_after(u64::try_from(span.as_millis().div_ceil(1_000)).unwrap_or(60).max(1)),
        None => answer,
    }
}

/// The service has as many requests as it can take, and this one cannot wait.
pub fn overloaded(service: &ServiceName) -> Answer {
    let detail = format!("{service} has as many requests under way as it can take; this one was not sent");
    let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::new("GW-075"));
    Answer::new(status, code, Word::ConnectionLimitReached, detail).retry_after(1)
}

/// What a client is told whose body broke off; `None`: it is gone.
pub fn request_body(error: &BodyError) -> Option<Answer> {
    let (status, code) = match error {
        BodyError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::new("GW-011")),
        BodyError::Malformed(_) => (StatusCode::BAD_REQUEST, ErrorCode::new("GW-012")),
        BodyError::TimedOut => return Some(slow_request()),
        BodyError::Cut(_) => return None,
    };
    Some(Answer::new(status, code, Word::HttpRequestError, error.to_string()))
}

/// The request's body took too long.
pub fn slow_request() -> Answer {
    let code = ErrorCode::new("GW-008");
    Answer::new(
        StatusCode::REQUEST_TIMEOUT,
        code,
        Word::HttpRequestError,
        "the request's body did not come in time",
    )
}
