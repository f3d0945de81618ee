//! The small values of manifests: what text each takes and what it becomes.

pub use crate::command::{Words, split_words};
use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::read::{Read, Reader};
use crate::reference::Use;
use crate::source::{At, Span};
use crate::tree::{Node, Value};
use ondol_core::id::{RouteName, SagaName, ServiceName, StepName, ZoneName};
use ondol_core::unit;
use ondol_core::wire::proxy::Priority;
use schemars::{Schema, SchemaGenerator, json_schema};

/// Declares how a type is read from text.
macro_rules! leaf {
    ($($type:ty: $parse:expr, $schema:tt;)*) => { $(
        impl Read for $type {
            fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
                let text = cx.scalar(node)?;
                let parse: fn(&str) -> Result<$type, String> = $parse;
                match parse(&text) {
                    Ok(value) => Some(value),
                    Err(why) => {
                        cx.error(Code::Value, node.at, why);
                        None
                    }
                }
            }
            fn schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )* };
}
pub(crate) use leaf;

/// A span of time, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Millis(pub u64);
/// A size in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bytes(pub u64);
/// A share, 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Share(pub f64);
/// Events per second.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PerSecond(pub f64);
/// `IP:PORT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bind(pub std::net::SocketAddr);
/// `1.2` or `1.3`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MinVersion(pub ondol_core::wire::proxy::TlsVersion);
/// `10.0.0.0/8`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cidr(pub String);
/// A path of a URL that starts with `/`, without query or fragment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UrlPath(pub String);
/// A regular expression that compiles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(pub String);
/// A full name of Protocol Buffers: words joined by dots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProtoName(pub String);
/// A name of Protocol Buffers without dots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProtoWord(pub String);
/// A method such as `POST`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Method(pub String);
/// A host, or `*.` and a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host(pub String);
/// `http` or `https`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scheme(pub String);
/// A status that sends a client elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RedirectStatus(pub u16);
/// A header field's name that a route may change, lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldName(pub String);
/// A header field's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldValue(pub String);
/// An origin of the web, `https://*.` and a host, or `*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin(pub String);
/// A method, or `*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CorsMethod(pub String);
/// A header field's name in lower case, or `*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CorsName(pub String);
/// A cookie's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CookieName(pub String);
/// An event stream family, such as `order`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Family(pub String);
/// A status of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub u16);

leaf! {
    String: |text| if text.is_empty() { Err("is empty".into()) } else { Ok(text.into()) }, { "type": ["string", "number", "boolean"] };
    bool: |text| match text { "true" => Ok(true), "false" => Ok(false), _ => Err(format!("`{text}` is neither true nor false")) }, { "type": "boolean" };
    u32: |text| text.parse().map_err(|_| format!("`{text}` is not a whole number")), { "type": "integer", "minimum": 0, "maximum": u32::MAX };
    u16: |text| match text.parse() { Ok(port @ 1..) => Ok(port), _ => Err(format!("`{text}` is not a port from 1 to 65535")) }, { "type": "integer", "minimum": 1, "maximum": 65_535 };
    Millis: |text| millis(text), { "title": "duration", "type": ["string", "integer"], "pattern": r"^[0-9.]+ *(ms|s|m|min|h|d)$|^0$", "examples": ["500ms", "15s", "10m"] };
    Bytes: |text| unit::parse_size(text).map(Bytes).map_err(|e| e.to_string()), { "title": "size", "type": ["string", "integer"], "examples": ["64KiB", "10MiB"] };
    Share: |text| unit::parse_percent(text).map(Share).map_err(|e| e.to_string()), { "title": "percentage", "type": "string", "pattern": r"^[0-9.]+ *%$", "examples": ["50 %"] };
    PerSecond: |text| unit::parse_rate(text).map(|r| PerSecond(r.per_second)).map_err(|e| e.to_string()), { "title": "rate", "type": "string", "examples": ["50/s", "300/m"] };
    Bind: |text| text.parse().map(Bind).map_err(|_| format!("`{text}` is not an address with a port; write it like 127.0.0.1:8080 or [::1]:8080")), { "title": "address and port", "type": "string", "examples": ["127.0.0.1:8080"] };
    MinVersion: |text| min_version(text), { "title": "TLS version", "type": ["string", "number"], "enum": ["1.2", "1.3", 1.2, 1.3] };
    Cidr: |text| cidr(text), { "title": "network", "type": "string", "examples": ["10.0.0.0/8"] };
    UrlPath: |text| url_path(text).map(UrlPath), { "title": "path", "type": "string", "pattern": "^/" };
    Pattern: |text| pattern(text), { "title": "regular expression", "type": "string", "format": "regex" };
    ProtoName: |text| if text.split('.').all(is_proto_word) { Ok(ProtoName(text.into())) } else { Err(format!("`{text}` is no full name of a gRPC service")) }, { "title": "gRPC service", "type": "string", "examples": ["shop.carriers.v1.Carriers"] };
    ProtoWord: |text| if is_proto_word(text) { Ok(ProtoWord(text.into())) } else { Err(format!("`{text}` is no name of a gRPC method")) }, { "title": "gRPC method", "type": "string", "examples": ["Book"] };
    Method: |text| method(text).map(Method), { "title": "method", "type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] };
    Host: |text| host(text), { "title": "host", "type": "string", "examples": ["shop.example", "*.shop.example"] };
    Scheme: |text| if matches!(text, "http" | "https") { Ok(Scheme(text.into())) } else { Err(format!("`{text}` is neither http nor https")) }, { "title": "scheme", "type": "string", "enum": ["http", "https"] };
    RedirectStatus: |text| redirect_status(text), { "title": "status", "type": "integer", "enum": [301, 302, 303, 307, 308] };
    FieldName: |text| field_name(text).map(FieldName), { "title": "header", "type": "string", "examples": ["x-shop"] };
    FieldValue: |text| field_value(text).map(FieldValue), { "title": "header value", "type": ["string", "number", "boolean"] };
    Origin: |text| origin(text).map(Origin), { "title": "origin", "type": "string", "examples": ["https://shop.example", "https://*.shop.example", "*"] };
    CorsMethod: |text| if text == "*" { Ok(CorsMethod(text.into())) } else { method(text).map(CorsMethod) }, { "title": "method or *", "type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "*"] };
    CorsName: |text| if is_token(text) { Ok(CorsName(text.to_ascii_lowercase())) } else { Err(format!("`{text}` is no name of a header")) }, { "title": "header or *", "type": "string", "examples": ["authorization"] };
    CookieName: |text| if is_token(text) { Ok(CookieName(text.into())) } else { Err(format!("`{text}` is no name of a cookie")) }, { "title": "cookie", "type": "string", "examples": ["shop-session"] };
    Family: |text| family(text), { "title": "stream family", "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_.]*$" };
    Status: |text| status(text), { "title": "status", "type": "integer", "minimum": 200, "maximum": 599 };
    Priority: |text| priority(text), { "title": "priority", "type": "string", "enum": ["critical", "default", "batch", "best-effort"] };
    ServiceName: |text| text.parse().map_err(|e: ondol_core::id::BadName| e.to_string()), { "title": "service name", "type": "string", "pattern": "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" };
    SagaName: |text| text.parse().map_err(|e: ondol_core::id::BadName| e.to_string()), { "title": "saga name", "type": "string", "pattern": "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" };
    StepName: |text| text.parse().map_err(|e: ondol_core::id::BadName| e.to_string()), { "title": "step name", "type": "string", "pattern": "^[a-z][a-z0-9_-]{0,62}$" };
    ZoneName: |text| text.parse().map_err(|e: ondol_core::id::BadName| e.to_string()), { "title": "zone name", "type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$", "examples": ["seoul-a"] };
    RouteName: |text| text.parse().map_err(|e: ondol_core::id::BadName| e.to_string()), { "title": "route name", "type": "string", "pattern": "^[a-z][a-z0-9.-]{0,126}$" };
}

fn millis(text: &str) -> Result<Millis, String> {
    let span = unit::parse_duration(text).map_err(|error| error.to_string())?;
    Ok(Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

fn priority(text: &str) -> Result<Priority, String> {
    let found = Priority::ALL.into_iter().find(|priority| priority.as_str() == text);
    found.ok_or_else(|| format!("`{text}` is not critical, default, batch or best-effort"))
}

fn min_version(text: &str) -> Result<MinVersion, String> {
    use ondol_core::wire::proxy::TlsVersion;
    match text {
        "1.2" => Ok(MinVersion(TlsVersion::V12)),
        "1.3" => Ok(MinVersion(TlsVersion::V13)),
        _ => Err(format!("`{text}` is not a version of TLS that is spoken: 1.2 or 1.3")),
    }
}

fn cidr(text: &str) -> Result<Cidr, String> {
    let wrong = || format!("`{text}` is not a network; write it like 10.0.0.0/8 or fd00::/8");
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address: std::net::IpAddr = address.parse().map_err(|_| wrong())?;
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    if bits > if address.is_ipv4() { 32 } else { 128 } {
        Err(wrong())
    } else {
        Ok(Cidr(text.into()))
    }
}

fn url_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("`{text}` does not start with `/`"));
    }
    match text
        .chars()
        .find(|c| matches!(c, '?' | '#' | '\\') || c.is_whitespace() || c.is_control())
    {
        Some(bad) => Err(format!("a path has no `{}`", bad.escape_default())),
        None => Ok(text.into()),
    }
}

/// A letter or `_`, then letters, digits and `_`.
fn is_proto_word(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.bytes().all(is_part) && !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// Checks a regular expression.
pub(crate) fn pattern(text: &str) -> Result<Pattern, String> {
    let built = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
    built.map(|_| Pattern(text.into())).map_err(|error| {
        let last = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        format!("not a regular expression: {}", last.trim_start_matches("error: "))
    })
}

/// Checks a method's name.
pub fn method(text: &str) -> Result<String, String> {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    match METHODS.contains(&text) {
        true => Ok(text.into()),
        false => Err(format!("`{text}` is not a method; known are {}", METHODS.join(", "))),
    }
}

fn host(text: &str) -> Result<Host, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    match !name.is_empty() && name.split('.').all(label) {
        true => Ok(Host(text.into())),
        false => Err(format!(
            "`{text}` is not a host; write it in lower case, without a port, like shop.example or *.shop.example"
        )),
    }
}

fn redirect_status(text: &str) -> Result<RedirectStatus, String> {
    match text.parse() {
        Ok(status @ (301 | 302 | 303 | 307 | 308)) => Ok(RedirectStatus(status)),
        _ => Err(format!(
            "`{text}` sends nobody elsewhere; known are 301, 302, 303, 307 and 308"
        )),
    }
}

/// Whether a text may be a header field's name (RFC 9110, section 5.6.2).
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// Fields that frame a message, belong to one connection, or say who asks; and the key, which is the client's: one for all
/// would make many requests one.
const OWN_FIELDS: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "idempotency-key",
    "keep-alive",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-real-ip",
    "x-request-id",
];
const OWN_PREFIXES: [&str; 3] = ["ondol-", "proxy-", "x-forwarded-"];

/// Checks the name of a field that a route may change; lower case.
pub fn field_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    if !is_token(&name) {
        return Err(format!("`{text}` is no name of a header"));
    }
    if name == "host" {
        return Err("the host is changed by `rewrite`, with `host`".into());
    }
    match OWN_FIELDS.contains(&&*name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        true => Err(format!("a route cannot change `{name}`")),
        false => Ok(name),
    }
}

/// Scheme, host, and a port where it is not the usual one, as a browser writes it.
fn origin(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not an origin; write it like https://shop.example, without a path, or `*`");
    if text == "*" {
        return Ok(text.into());
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (rest, None),
    };
    let usual = if scheme == "https" { "443" } else { "80" };
    match port {
        Some(port) if port == usual => Err(format!(
            "browsers leave the port {usual} out; write `{scheme}://{name}`"
        )),
        Some(port) if port.parse::<u16>().is_err() => Err(wrong()),
        _ if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'+') => {
            Err(wrong())
        }
        _ => host(name).map(|_| text.into()).map_err(|_| wrong()),
    }
}

fn field_value(text: &str) -> Result<String, String> {
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(format!("a header's value has no `{}`", bad.escape_default())),
        None => Ok(text.trim().into()),
    }
}

fn family(text: &str) -> Result<Family, String> {
    let good = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    if good {
        Ok(Family(text.into()))
    } else {
        Err(format!(
            "`{text}` is not a stream family: letters, digits, _ and ., a letter first, no -"
        ))
    }
}

fn status(text: &str) -> Result<Status, String> {
    match text.parse() {
        Ok(status @ 200..=599) => Ok(Status(status)),
        _ => Err(format!("`{text}` is not a status from 200 to 599")),
    }
}

/// Text that may hold an instance's variables, `${PORT}`.
#[derive(Clone, PartialEq, Debug)]
pub struct Variables {
    /// With the variables in place.
    pub text: String,
    /// Which they are.
    pub uses: Vec<Use>,
}

impl Read for Variables {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let (text, uses) = cx.resolve(node)?;
        Some(Self { text, uses })
    }
    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "text with `${…}`", "type": ["string", "number", "boolean"] })
    }
}

/// Any value, kept as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Tree(pub Node);

impl Read for Tree {
    fn read(node: &Node, _: &mut Reader<'_>) -> Option<Self> {
        Some(Self(node.clone()))
    }
    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "any value" })
    }
}

/// Text as it stands, with nothing filled in: saga files' calls and locations.
#[derive(Clone, PartialEq, Debug)]
pub struct Raw(pub Node, pub String);

impl Read for Raw {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        cx.scalar(node).map(|text| Self(node.clone(), text))
    }
    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "text with templates", "type": "string" })
    }
}

/// Declares an enum that is written as one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $type { $($(#[$vdoc])* $variant,)* }

        impl Read for $type {
            fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
                let text = cx.scalar(node)?;
                match &*text {
                    $($word => return Some(Self::$variant),)*
                    _ => {}
                }
                let known = [$($word),*];
                let found = Diagnostic::error(Code::Value, node.at, format!("`{text}` is not one of {}", known.join(", ")));
                cx.found.push(found.maybe_hint(suggest(&text, known)));
                None
            }
            fn schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "enum": [$($word),*] })
            }
        }
    };
}
pub(crate) use words;

words! {
    /// `socket:`.
    Socket { /// `PORT`.
        Port = "port", /// `LISTEN_FDS`.
        Fds = "fds", }
}
words! {
    /// What takes back what an outer level says.
    Nothing { /// It does not hold here.
        None = "none", }
}
words! {
    /// `protocol:`.
    Protocol { /// HTTP/1.1.
        Http1 = "http1", /// HTTP/2 without TLS.
        H2c = "h2c", }
}
words! {
    /// How much a dependency is needed.
    Need { /// Its absence skips, its start delays.
        Required = "required", /// It may be away.
        Optional = "optional", }
}
words! {
    /// A signature algorithm.
    Algorithm { /// Ed25519.
        EdDsa = "EdDSA", /// P-256.
        Es256 = "ES256", /// RSA.
        Rs256 = "RS256", }
}

impl Algorithm {
    /// As JOSE writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

/// A text, or a map: the short and the long form of one thing.
#[derive(Clone, PartialEq, Debug)]
pub enum Short<S, L> {
    /// The text.
    Short(S),
    /// The map.
    Long(L),
}

impl<T, L> Short<At<T>, L> {
    /// Where it stands; `of` says it of the map.
    pub fn at(&self, of: impl FnOnce(&L) -> Span) -> Span {
        match self {
            Self::Short(word) => word.at,
            Self::Long(doc) => of(doc),
        }
    }
}

impl<S: Read, L: Read> Read for Short<S, L> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        match node.value {
            Value::Scalar { .. } => S::read(node, cx).map(Self::Short),
            _ => L::read(node, cx).map(Self::Long),
        }
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let forms = [S::schema(generator), L::schema(generator)];
        json_schema!({ "anyOf": forms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_take_what_they_say() {
        assert!(cidr("10.0.0.0/8").is_ok() && cidr("fd00::/8").is_ok());
        assert!(cidr("10.0.0.0").is_err() && cidr("10.0.0.0/33").is_err() && cidr("x/8").is_err());
        assert!(host("shop.example").is_ok() && host("*.shop.example").is_ok());
        assert!(host("Shop.example").is_err() && host("a:80").is_err() && host("*").is_err() && host("a..b").is_err());
        assert!(url_path("/a/b").is_ok() && url_path("a").is_err() && url_path("/a?b").is_err());
        assert!(family("order").is_ok() && family("order-1").is_err());
        assert!(pattern("a+").is_ok() && pattern("a(").is_err());
    }
}
