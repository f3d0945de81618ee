//! Log lines of the roles, and of requests, for people: they are kept as JSON, one object a line.
//!
//! Two shapes are known: what the roles say (level, message, fields) and the proxy's line for every request. Any other
//! line, and every line of a service, is shown as it was written.

use super::show::{BAD, BUSY, FAINT, GOOD, RESET};
use anstyle::Style;
use ondol_core::wire::supervision::LogLine;
use ondol_proxy::report::access::reader::STREAM;
use serde_json::{Map, Value};

/// The roles' names as sources.
const ROLES: [&str; 3] = ["controller", "proxy", "supervisor"];

/// The line in words and colour; `None`: show it as it is.
pub(crate) fn show(line: &LogLine) -> Option<String> {
    let object = || serde_json::from_str(&line.text).ok();
    if line.stream == STREAM {
        return request(&object()?);
    }
    if !ROLES.contains(&line.source.as_str()) {
        return None;
    }
    said(&object()?)
}

/// What is wrong, without colour: code, message and error of a role's line.
pub(crate) fn words(text: &str) -> String {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let field = |name: &str| json["fields"][name].as_str();
    let words: Vec<_> = ["code", "message", "error"].into_iter().filter_map(field).collect();
    if words.is_empty() {
        text.to_owned()
    } else {
        words.join(": ")
    }
}

/// `ERROR opening the store  code=ST-004 error=…`.
fn said(object: &Map<String, Value>) -> Option<String> {
    let level = object.get("level")?.as_str()?;
    let fields = object.get("fields")?.as_object()?;
    let message = fields.get("message").map(plain).unwrap_or_default();
    let style = match level {
        "ERROR" => BAD,
        "WARN" => BUSY,
        "INFO" => GOOD,
        _ => FAINT,
    };
    let more = pairs(fields.iter().filter(|(name, _)| *name != "message"));
    Some(format!("{style}{level:5}{RESET} {message}{more}"))
}

/// `GET /api/orders 200 12.3 ms  route=place-order …`, of the proxy's line for a request.
fn request(object: &Map<String, Value>) -> Option<String> {
    // Told apart from the pairs, or of use to programs only.
    const LEFT_OUT: [&str; 15] = [
        "time",
        "level",
        "message",
        "method",
        "path",
        "status",
        "duration_us",
        "span_id",
        "parent_span_id",
        "host",
        "protocol",
        "client",
        "bytes",
        "target",
        "instance",
    ];
    let (method, path) = (object.get("method")?.as_str()?, object.get("path")?.as_str()?);
    let (status, took) = (object.get("status")?.as_u64()?, object.get("duration_us")?.as_f64()?);
    let style = match status {
        500.. => BAD,
        400.. => BUSY,
        _ => Style::new(),
    };
    let is_usual = |name: &str, value: &Value| name == "attempts" && value.as_u64() <= Some(1);
    let more = object
        .iter()
        .filter(|(name, value)| !LEFT_OUT.contains(&name.as_str()) && !is_usual(name, value));
    let more = pairs(more);
    Some(format!(
        "{method} {path} {style}{status}{RESET} {:.1} ms{more}",
        took / 1_000.0
    ))
}

/// `  a=b c="d e"`; what is absent is left out.
fn pairs<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let mut out = String::new();
    for (name, value) in fields.filter(|(_, value)| !value.is_null()) {
        let value = plain(value);
        let quoted = value.is_empty() || value.contains([' ', '"', '=']);
        let value = if quoted { format!("{value:?}") } else { value };
        let gap = if out.is_empty() { "  " } else { " " };
        out.push_str(&format!("{gap}{FAINT}{name}={RESET}{value}"));
    }
    out
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::clock::Timestamp;

    fn line(source: &str, stream: &str, text: &str) -> LogLine {
        LogLine {
            seq: 1,
            at: Timestamp(0),
            source: source.into(),
            stream: stream.into(),
            text: text.into(),
            continued: false,
            level: None,
            trace_id: None,
        }
    }

    #[test]
    fn a_role_s_line_is_told_in_words_and_every_other_line_as_it_was_written() {
        let store = r#"{"timestamp":"2026-11-21T20:00:00Z","level":"ERROR","fields":{"message":"opening the store","code":"ST-004","error":"is \"away\""},"target":"ondol"}"#;
        let request = r#"{"time":"t","level":"info","message":"request","trace_id":"0a","span_id":"1","route":"place-order","target":"orders","method":"POST","host":"h","path":"/api/orders","status":201,"bytes":12,"duration_us":12345,"attempts":1}"#;
        let cases = [
            (
                "controller",
                "err",
                store,
                Some(r#"ERROR opening the store  code=ST-004 error="is \"away\"""#),
            ),
            (
                "orders.1",
                "access",
                request,
                Some("POST /api/orders 201 12.3 ms  trace_id=0a route=place-order"),
            ),
            ("controller", "err", "thread 'main' panicked", None),
            ("controller", "err", r#"{"other":1}"#, None),
            ("orders.1", "err", store, None),
            ("orders.1", "err", request, None),
        ];
        for (source, stream, text, expected) in cases {
            let shown = show(&line(source, stream, text)).map(|text| anstream::adapter::strip_str(&text).to_string());
            assert_eq!(shown.as_deref(), expected, "{source} {text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_code_message_and_error() {
        let line = r#"{"level":"ERROR","fields":{"message":"opening the store","code":"ST-004","error":"refused"}}"#;
        assert_eq!(words(line), "ST-004: opening the store: refused");
        assert_eq!(words("plain"), "plain");
    }
}
