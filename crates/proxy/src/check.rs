//! What a head may say, whichever protocol carries it.
//!
//! Tests: `h1/head.rs` over `conformance/gateway/heads.tsv`, and `h2/convert.rs`.

use crate::message::{Fields, list_items};
use http::{Method, StatusCode};
use ondol_core::error::ErrorCode;
use ondol_core::path::BadPath;

/// Most fields of a request.
pub const MAX_FIELDS: usize = 100;
/// Most fields of a response.
pub const MAX_RESPONSE_FIELDS: usize = 256;

/// Why a head is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadError {
    /// The first line.
    #[error("the request line is not `METHOD TARGET HTTP/1.1`")]
    RequestLine,
    /// The first line of a response.
    #[error("the status line is not `HTTP/1.1 CODE REASON`")]
    StatusLine,
    /// Another HTTP.
    #[error("this version of HTTP is not spoken here")]
    Version,
    /// A line end without CR.
    #[error("a line ends without CR")]
    BareLf,
    /// A name that is no token.
    #[error("a field name has a character that is not allowed")]
    FieldName,
    /// A control character in a value, or bytes that are no UTF-8.
    #[error("a field value has a character that is not allowed")]
    FieldValue,
    /// `Name : value`.
    #[error("a field name is followed by white space")]
    SpaceBeforeColon,
    /// obs-fold.
    #[error("a field is folded over two lines")]
    Folded,
    /// Too many fields.
    #[error("there are more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// Too many bytes.
    #[error("the head is too large")]
    TooLarge,
    /// The target.
    #[error("the target is longer than 8 KiB")]
    TargetTooLong,
    /// No Host.
    #[error("there is no Host")]
    HostMissing,
    /// Two Hosts.
    #[error("there is more than one Host")]
    HostTwice,
    /// Not an authority.
    #[error("the Host is not a name with an optional port")]
    HostInvalid,
    /// Host and target disagree.
    #[error("Host and target name two authorities")]
    HostDiffers,
    /// Not one plain number.
    #[error("Content-Length is not one number")]
    ContentLength,
    /// Anything but `chunked`.
    #[error("Transfer-Encoding is not just `chunked`")]
    TransferEncoding,
    /// Content-Length with Transfer-Encoding.
    #[error("Content-Length and Transfer-Encoding contradict each other")]
    BothLengths,
    /// Something else than `100-continue`.
    #[error("the expectation is not known")]
    Expectation,
    /// TRACE.
    #[error("TRACE is not allowed")]
    Trace,
    /// CONNECT.
    #[error("CONNECT is not offered")]
    Connect,
    /// `X_Forwarded_For`.
    #[error("a field name imitates one that Ondol sets, with _ for -")]
    Spoofed,
    /// A field that HTTP/2 does not have.
    #[error("a field of the connection in HTTP/2")]
    ConnectionField,
    /// Not whole in time.
    #[error("the head did not come in time")]
    TooSlow,
    /// HTTP in the clear at a listener with TLS.
    #[error("this port speaks TLS: use https")]
    PlainToTls,
    /// The path.
    #[error("{0}")]
    Path(#[from] BadPath),
}

impl HeadError {
    /// What the client is answered.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooManyFields | Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Trace => StatusCode::METHOD_NOT_ALLOWED,
            Self::Connect => StatusCode::NOT_IMPLEMENTED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The page that explains it.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::RequestLine
            | Self::StatusLine
            | Self::Version
            | Self::BareLf
            | Self::FieldName
            | Self::FieldValue
            | Self::SpaceBeforeColon
            | Self::Folded
            | Self::ConnectionField
            | Self::Expectation => ErrorCode::new("GW-001"),
            Self::ContentLength | Self::TransferEncoding | Self::BothLengths => ErrorCode::new("GW-002"),
            Self::HostMissing | Self::HostTwice | Self::HostInvalid | Self::HostDiffers => ErrorCode::new("GW-003"),
            Self::Path(_) => ErrorCode::new("GW-004"),
            Self::TooManyFields | Self::TooLarge | Self::TargetTooLong => ErrorCode::new("GW-005"),
            Self::Trace | Self::Connect => ErrorCode::new("GW-006"),
            Self::Spoofed => ErrorCode::new("GW-007"),
            Self::TooSlow => ErrorCode::new("GW-008"),
            Self::PlainToTls => ErrorCode::new("GW-064"),
        }
    }
}

/// Longest method, bytes.
const MAX_METHOD: usize = 32;

/// Refuses the methods that a gateway must not serve.
///
/// # Errors
/// [`HeadError::Trace`], [`HeadError::Connect`], [`HeadError::RequestLine`] for one that is too long.
pub fn method(method: &Method) -> Result<(), HeadError> {
    match *method {
        Method::TRACE => Err(HeadError::Trace),
        Method::CONNECT => Err(HeadError::Connect),
        _ if method.as_str().len() > MAX_METHOD => Err(HeadError::RequestLine),
        _ => Ok(()),
    }
}

/// A Host as text: a name, an IPv4 or a bracketed IPv6 address, and perhaps a port.
///
/// # Errors
/// [`HeadError::HostInvalid`].
pub fn authority(host: &[u8]) -> Result<&str, HeadError> {
    let text = std::str::from_utf8(host).map_err(|_| HeadError::HostInvalid)?;
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(HeadError::HostInvalid)?;
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| HeadError::HostInvalid)?;
            ("ip", port.strip_prefix(':').or(port.is_empty().then_some("0")))
        }
        None => match host.iter().position(|b| *b == b':') {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, Some("0")),
        },
    };
    let name_ok = !name.is_empty()
        && name.len() <= 255
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    let port_ok = port.is_some_and(|p| (1..=5).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
    if name_ok && port_ok {
        Ok(text)
    } else {
        Err(HeadError::HostInvalid)
    }
}

/// Fields that Ondol sets or trusts, beside all that begin with one of [`MANAGED_PREFIXES`].
const MANAGED: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "forwarded",
    "host",
    "idempotency-key",
    "traceparent",
    "transfer-encoding",
    "x-real-ip",
    "x-request-id",
    "x-original-url",
];
const MANAGED_PREFIXES: [&str; 2] = ["ondol-", "x-forwarded-"];

/// Refuses `X_Forwarded_For` and the like: many servers read `_` as `-`.
///
/// # Errors
/// [`HeadError::Spoofed`].
pub fn not_spoofed(name: &[u8]) -> Result<(), HeadError> {
    if !name.contains(&b'_') {
        return Ok(());
    }
    let plain: Vec<u8> = name
        .iter()
        .map(|b| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() })
        .collect();
    let managed = MANAGED.iter().any(|m| m.as_bytes() == plain)
        || MANAGED_PREFIXES
            .iter()
            .any(|prefix| plain.starts_with(prefix.as_bytes()));
    if managed { Err(HeadError::Spoofed) } else { Ok(()) }
}

/// Takes away what belongs to this connection alone: `Connection` and all it names, and the known hop-by-hop fields.
/// `TE` stays as `trailers` if it says so. Call before anything of ours is set.
pub fn strip_hop_by_hop(fields: &mut Fields) {
    if !HOP_BY_HOP.iter().any(|name| fields.may_have(name)) {
        return;
    }
    let named: Vec<Vec<u8>> = fields
        .all("connection")
        .flat_map(list_items)
        .filter(|item| !item.eq_ignore_ascii_case(b"close") && !item.eq_ignore_ascii_case(b"keep-alive"))
        .map(<[u8]>::to_ascii_lowercase)
        .collect();
    let trailers = fields.lists("te", "trailers");
    fields.retain(|name, _| !is_hop_by_hop(name) && !named.iter().any(|other| other == name));
    if trailers {
        fields.push("te", "trailers");
    }
}

const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

fn is_hop_by_hop(name: &[u8]) -> bool {
    HOP_BY_HOP.iter().any(|known| known.as_bytes() == name)
}

/// Whether a field may come after a body. Framing, routing, identity and what decides about the body may not.
pub fn may_be_trailer(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    let Ok(name) = std::str::from_utf8(&lower) else {
        return false;
    };
    !is_hop_by_hop(name.as_bytes())
        && !MANAGED.contains(&name)
        && !MANAGED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && !name.starts_with("content-")
        && not_spoofed(&lower).is_ok()
        && !matches!(
            name,
            "cache-control"
                | "expect"
                | "max-forwards"
                | "range"
                | "set-cookie"
                | "location"
                | "age"
                | "vary"
                | "date"
                | "expires"
                | "warning"
                | "proxy-status"
        )
}
