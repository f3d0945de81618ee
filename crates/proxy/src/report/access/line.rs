//! An entry of the access log as a line of JSON. Names after OpenTelemetry's where they have one.
//!
//! Written by hand, since a general serialiser made a line cost an eighth of its request (callgrind, docs/performance.md).
//! What needs escapes is still given to one.

use super::{Entry, Refused};
use crate::answer::Word;
use crate::digits::{push_address, push_decimal};
use crate::filter::trace::hex;
use crate::report::Name;
use ondol_core::clock::Timestamp;
use ondol_core::id::ServiceName;

/// A member's key behind another member.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// Appends the line and its end.
pub(super) fn write(entry: &Entry, calendar: &mut Calendar, to: &mut Vec<u8>) {
    let served = &entry.served;
    let mut line = Members(to);
    line.word("{\"time\":", calendar.text(entry.at));
    line.word(key!("level"), level(served.status));
    line.word(key!("message"), "request");
    line.digits(key!("trace_id"), &entry.trace.id.to_be_bytes());
    line.digits(key!("span_id"), &entry.trace.span.to_be_bytes());
    if let Some(parent) = entry.trace.parent {
        line.digits(key!("parent_span_id"), &parent.to_be_bytes());
    }
    line.whose(&entry.line.name);
    if let Some(endpoint) = &entry.instance {
        let instance = &endpoint.instance;
        line.quoted(key!("instance"), |to| {
            to.extend_from_slice(instance.service.as_str().as_bytes());
            to.push(b'.');
            push_decimal(u64::from(instance.number), to);
        });
    }
    if let Some(client) = entry.client {
        line.quoted(key!("client"), |to| push_address(client, to));
    }
    line.word(key!("protocol"), entry.version.as_str());
    if let Some(tls) = entry.tls {
        line.word(key!("tls"), tls);
    }
    line.text(key!("method"), entry.method.as_str());
    line.text(key!("host"), &entry.host);
    line.text(key!("path"), &entry.path);
    line.number(key!("status"), u64::from(served.status));
    line.number(key!("bytes"), entry.bytes);
    line.number(
        key!("duration_us"),
        u64::try_from(served.took.as_micros()).unwrap_or(u64::MAX),
    );
    line.number(key!("attempts"), u64::from(served.attempts));
    if let Some(word) = served.own {
        line.word(key!("proxy_status"), word.as_str());
    }
    if let Some(kept) = entry.kept {
        line.word(key!("cache"), kept.as_str());
    }
    if let Some(cut) = entry.cut {
        line.word(key!("cut"), cut);
    }
    to.extend_from_slice(b"}\n");
}

/// Appends the line of a head that was refused, and its end. All of it is in words of ours and of the manifests.
pub(super) fn write_refused(refused: &Refused, calendar: &mut Calendar, to: &mut Vec<u8>) {
    let (mut line, status) = (Members(to), refused.error.status().as_u16());
    line.word("{\"time\":", calendar.text(refused.at));
    line.word(key!("level"), level(status));
    line.word(key!("message"), "refused head");
    line.digits(key!("trace_id"), &refused.trace.to_be_bytes());
    match &refused.line {
        Some(from) => line.whose(&from.name),
        None => line.word(key!("target"), ServiceName::gateway().as_str()),
    }
    if let Some(client) = refused.client {
        line.quoted(key!("client"), |to| push_address(client, to));
    }
    if let Some(tls) = refused.tls {
        line.word(key!("tls"), tls);
    }
    line.number(key!("status"), u64::from(status));
    line.word(key!("proxy_status"), Word::HttpRequestError.as_str());
    line.word(key!("code"), refused.error.code().as_str());
    line.text(key!("reason"), &refused.error.to_string());
    if refused.left_out > 0 {
        line.number(key!("left_out"), refused.left_out);
    }
    to.extend_from_slice(b"}\n");
}

/// The members of an object. Keys are given as they are written.
struct Members<'t>(&'t mut Vec<u8>);

impl Members<'_> {
    fn key(&mut self, key: &str) {
        self.0.extend_from_slice(key.as_bytes());
    }

    /// What `write` appends needs no escapes.
    fn quoted(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        self.0.push(b'"');
        write(self.0);
        self.0.push(b'"');
    }

    /// A word of ours: it needs no escapes.
    fn word(&mut self, key: &str, word: &str) {
        self.quoted(key, |to| to.extend_from_slice(word.as_bytes()));
    }

    /// By which route or edge it came, and to whom it was to go.
    fn whose(&mut self, name: &Name) {
        if let Some(route) = &name.route {
            self.word(key!("route"), route.as_str());
        }
        if let Some(caller) = &name.caller {
            self.word(key!("caller"), caller.as_str());
        }
        if let Some(peer) = &name.peer {
            self.word(key!("peer"), peer.as_str());
        }
        self.word(key!("target"), name.target.as_str());
    }

    /// What a client sent.
    fn text(&mut self, key: &str, text: &str) {
        let needs_escape = |b: u8| b < b' ' || b == b'"' || b == b'\\';
        if !text.bytes().fold(false, |found, b| found | needs_escape(b)) {
            return self.word(key, text);
        }
        self.key(key);
        let _ = serde_json::to_writer(&mut *self.0, text); // Writing text to a vector cannot fail.
    }

    /// Up to 16 bytes as hexadecimal digits.
    fn digits(&mut self, key: &str, bytes: &[u8]) {
        self.quoted(key, |to| to.extend_from_slice(&hex(bytes)[..2 * bytes.len()]));
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        push_decimal(number, self.0);
    }
}

/// Services fail with 5xx; with 4xx they refuse, which is worth a look when it is much.
fn level(status: u16) -> &'static str {
    match status {
        500.. => "error",
        400.. => "warn",
        _ => "info",
    }
}

/// The text of a time. Entries come in order of time, so all but the milliseconds is mostly that of the entry before.
#[derive(Default)]
pub(super) struct Calendar {
    second: Option<i64>,
    /// Up to the point before the milliseconds.
    whole: usize,
    text: String,
}

impl Calendar {
    fn text(&mut self, at: Timestamp) -> &str {
        let (second, ms) = (at.0.div_euclid(1_000), at.0.rem_euclid(1_000));
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = Timestamp(second * 1_000).to_string();
            self.whole = self.text.len() - "000Z".len();
        }
        self.text.truncate(self.whole);
        let digit = |of: i64| char::from(b'0' + (ms / of % 10) as u8);
        self.text.extend([digit(100), digit(10), digit(1), 'Z']);
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// A general serialiser writes the same, so nothing that a client sends can end its text.
        #[test]
        fn what_a_client_sent_is_written_as_any_json_is(text in "[a\"\\\\/{},:\u{0}-\u{1f}\u{7f}é\u{2028}\u{10ffff}]{0,12}") {
            let mut line = Vec::new();
            let mut members = Members(&mut line);
            members.word("{\"first\":", "{");
            members.text(key!("text"), &text);
            line.push(b'}');
            let wanted = format!("{{\"first\":\"{{\",\"text\":{}}}", serde_json::json!(text));
            proptest::prop_assert_eq!(String::from_utf8(line), Ok(wanted));
        }
    }

    #[test]
    fn times_are_those_that_a_timestamp_prints() {
        let mut calendar = Calendar::default();
        for ms in [0, 7, 999, 1_000, -1, -1_000, 1_709_209_845_007, 1_709_209_845_070, 7] {
            assert_eq!(calendar.text(Timestamp(ms)), Timestamp(ms).to_string());
        }
    }
}
