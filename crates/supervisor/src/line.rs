//! From bytes to lines, and what a line says of itself. Pure.

use serde_json::{Map, Value};

/// The longest line; a longer one goes on in the next.
pub(crate) const LINE_CAP: usize = 64 << 10;

/// Cuts a stream of bytes into lines. Holds at most one line.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    /// Takes bytes as they come; `emit` gets each line's text and whether it goes on in the next.
    pub(crate) fn push(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(String, bool)) {
        while !bytes.is_empty() {
            let room = LINE_CAP - self.partial.len();
            match bytes.iter().take(room + 1).position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.partial.extend_from_slice(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                    self.emit(false, emit);
                }
                None => {
                    let taken = room.min(bytes.len());
                    self.partial.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    // A line of exactly the cap is whole if its end comes next, so wait for one byte more.
                    if self.partial.len() == LINE_CAP && !bytes.is_empty() {
                        self.emit_full(emit);
                    }
                }
            }
        }
    }

    /// The stream ended: what has no newline is a line too.
    pub(crate) fn finish(&mut self, emit: &mut impl FnMut(String, bool)) {
        if !self.partial.is_empty() {
            self.emit(false, emit);
        }
    }

    fn emit(&mut self, continued: bool, emit: &mut impl FnMut(String, bool)) {
        if !continued && self.partial.last() == Some(&b'\r') {
            self.partial.pop();
        }
        emit(String::from_utf8_lossy(&self.partial).into_owned(), continued);
        self.partial.clear();
        // One long line is no reason to hold its memory for good.
        self.partial.shrink_to(LINE_CAP / 16);
    }

    /// Emits a full buffer, but for the first bytes of a character that is cut at its end.
    fn emit_full(&mut self, emit: &mut impl FnMut(String, bool)) {
        let cut = whole_characters(&self.partial);
        let rest = self.partial.split_off(cut);
        self.emit(true, emit);
        self.partial = rest;
    }
}

/// The length without a character that is only begun at the end; at most three bytes less.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for at in (tail..bytes.len()).rev() {
        let needed = match bytes[at] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => return bytes.len(),
        };
        return if bytes.len() - at < needed { at } else { bytes.len() };
    }
    bytes.len()
}

/// What a structured line says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Said {
    pub level: Option<String>,
    pub trace_id: Option<String>,
}

const LEVELS: [&str; 5] = ["level", "severity", "lvl", "log.level", "loglevel"];
const TRACES: [&str; 6] = [
    "trace_id",
    "traceId",
    "traceid",
    "trace.id",
    "traceparent",
    "dd.trace_id",
];

/// Reads a JSON object or logfmt; of anything else, nothing.
pub(crate) fn read(text: &str) -> Said {
    let text = text.trim();
    if text.starts_with('{') && text.ends_with('}') {
        return serde_json::from_str::<Map<String, Value>>(text)
            .map(|object| from_json(&object))
            .unwrap_or_default();
    }
    from_logfmt(text)
}

/// At the top, else in the objects where tracing and slog put what surrounds a line.
fn from_json(object: &Map<String, Value>) -> Said {
    let inner = ["fields", "span", "context", "ctx"]
        .iter()
        .filter_map(|name| object.get(*name)?.as_object());
    let places: Vec<_> = std::iter::once(object).chain(inner).collect();
    let find = |names: &[&str]| {
        places
            .iter()
            .find_map(|place| names.iter().find_map(|name| place.get(*name)))
    };
    Said {
        level: find(&LEVELS).and_then(|value| match value {
            Value::String(text) => level(text),
            Value::Number(number) => number.as_u64().and_then(numbered_level),
            _ => None,
        }),
        trace_id: find(&TRACES).and_then(Value::as_str).and_then(trace_id),
    }
}

fn from_logfmt(text: &str) -> Said {
    let mut said = Said::default();
    // Bounded by the line's cap; a value in quotes may hold spaces, which no level or id does.
    for (name, value) in text.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
        let value = value.trim_matches('"');
        if said.level.is_none() && LEVELS.contains(&name) {
            said.level = level(value);
        }
        if said.trace_id.is_none() && TRACES.contains(&name) {
            said.trace_id = trace_id(value);
        }
    }
    said
}

fn level(text: &str) -> Option<String> {
    let known = match text.to_ascii_lowercase().as_str() {
        "trace" | "verbose" => "trace",
        "debug" => "debug",
        "info" | "information" | "notice" => "info",
        "warn" | "warning" => "warn",
        "error" | "err" => "error",
        "fatal" | "critical" | "crit" | "panic" | "emergency" | "alert" => "fatal",
        _ => return None,
    };
    Some(known.to_owned())
}

/// As bunyan and pino number them.
fn numbered_level(number: u64) -> Option<String> {
    let name = match number {
        10 => "trace",
        20 => "debug",
        30 => "info",
        40 => "warn",
        50 => "error",
        60 => "fatal",
        _ => return None,
    };
    Some(name.to_owned())
}

/// A trace id of 16 bytes, bare or within a `traceparent`.
fn trace_id(text: &str) -> Option<String> {
    let id = match text.split('-').collect::<Vec<_>>()[..] {
        [_version, id, _span, _flags] => id,
        _ => text,
    };
    let valid =
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0');
    valid.then(|| id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        let mut emit = |text: String, continued: bool| lines.push((text, continued));
        chunks.iter().for_each(|chunk| splitter.push(chunk, &mut emit));
        splitter.finish(&mut emit);
        lines
    }

    fn whole(lines: &[&str]) -> Vec<(String, bool)> {
        lines.iter().map(|line| ((*line).to_owned(), false)).collect()
    }

    #[test]
    fn lines_are_cut_at_newlines_wherever_the_reads_end() {
        assert_eq!(
            split(&[b"a\nb", b"c\r\n", b"\n", b"last"]),
            whole(&["a", "bc", "", "last"])
        );
        assert_eq!(split(&[b""]), whole(&[]));
    }

    #[test]
    fn invalid_utf_8_is_replaced_and_a_character_cut_by_a_read_is_not() {
        assert_eq!(
            split(&[b"a\xff\n", &[0xec, 0xa3], &[0xbc, b'\n']]),
            whole(&["a\u{fffd}", "주"])
        );
    }

    #[test]
    fn a_line_over_the_cap_goes_on_and_one_of_the_cap_does_not() {
        let exact = vec![b'x'; LINE_CAP];
        assert_eq!(
            split(&[&exact, b"\n"]).iter().map(|line| line.1).collect::<Vec<_>>(),
            [false]
        );
        let long = vec![b'x'; 2 * LINE_CAP + 5];
        let lines = split(&[&long, b"\n"]);
        assert_eq!(
            lines.iter().map(|line| (line.0.len(), line.1)).collect::<Vec<_>>(),
            [(LINE_CAP, true), (LINE_CAP, true), (5, false)]
        );
    }

    #[test]
    fn the_cap_never_cuts_a_character() {
        let text = format!("x{}", "주".repeat(LINE_CAP));
        let lines = split(&[text.as_bytes()]);
        assert!(
            lines
                .iter()
                .all(|line| line.0.len() <= LINE_CAP && !line.0.contains('\u{fffd}'))
        );
        assert_eq!(lines.iter().map(|line| line.0.as_str()).collect::<String>(), text);
    }

    proptest! {
        #[test]
        fn any_cut_of_a_text_gives_the_same_lines(text in "[a-z주\n]{0,400}", at in 0_usize..400) {
            let at = at.min(text.len());
            let (head, tail) = text.as_bytes().split_at(at);
            prop_assert_eq!(split(&[head, tail]), split(&[text.as_bytes()]));
        }
    }

    #[test]
    fn levels_and_trace_ids_are_read_from_json_and_logfmt() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let cases = [
            (r#"{"level":"INFO","fields":{"trace_id":"ID"}}"#, Some("info"), true),
            (
                r#"{"severity":"Warning","traceparent":"00-ID-b7ad6b7169203331-01"}"#,
                Some("warn"),
                true,
            ),
            (r#"{"level":30,"msg":"pino"}"#, Some("info"), false),
            (r#"ts=1 level=error msg="a b" traceId=ID"#, Some("error"), true),
            (r#"lvl="crit" x"#, Some("fatal"), false),
            (r#"{"level":"odd","trace_id":"short"}"#, None, false),
            (r#"{"level":"info""#, None, false),
            ("plain words with level of detail", None, false),
        ];
        for (text, level, traced) in cases {
            let said = read(&text.replace("ID", id));
            assert_eq!(
                (said.level.as_deref(), said.trace_id.as_deref()),
                (level, traced.then_some(id)),
                "{text}"
            );
        }
    }
}
