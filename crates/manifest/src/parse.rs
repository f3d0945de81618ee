//! YAML text → a [`Node`] in which every key and value knows its place.
//!
//! Built on the events of `granit-parser`, the parser beneath serde-saphyr (ADR-0003): only there do anchors, tags, quoting and
//! doubled keys show with their places, and one wrong key must not hide the others.
//!
//! Invariants
//! - No anchors, aliases, tags, merge keys, directives or second documents: a manifest means what it shows, and a bomb of
//!   aliases cannot be written.
//! - Bounded: bytes by the caller, [`Limits::nodes`] values, [`MAX_DEPTH`] levels.
//! - Keys of a map are plain or quoted scalars, each there once.
//!
//! Not here: what keys mean (`read.rs`).

use crate::diagnostic::{Code, Diagnostic};
use crate::source::{At, FileId, Span};
use crate::tree::{Node, Value};
use granit_parser::{Event, Options, Parser, ScalarStyle};

/// Levels of nesting.
pub const MAX_DEPTH: usize = 64;

/// Places in a file where banned features are told; the rest is of the same kind.
const MAX_BANNED: usize = 5;

/// What a file may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes.
    pub bytes: u64,
    /// Values and keys.
    pub nodes: usize,
}

/// For the four files of ours.
pub const MANIFEST: Limits = Limits {
    bytes: 1 << 20,
    nodes: 20_000,
};
/// For contracts, which tools write.
pub const CONTRACT: Limits = Limits {
    bytes: 8 << 20,
    nodes: 400_000,
};

/// Reads `text` of `file`.
///
/// # Errors
/// One diagnostic for broken syntax, where reading stops; all of them for doubled keys and features that are banned.
pub fn parse(file: FileId, text: &str, limits: Limits) -> Result<Node, Vec<Diagnostic>> {
    let mut options = Options::default();
    options.disallow_directives = true;
    options.emit_unresolved_aliases = true;
    let mut builder = Builder {
        file,
        text,
        limits,
        nodes: 0,
        errors: Vec::new(),
        stack: Vec::new(),
        root: None,
        documents: 0,
    };
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => {
                if !builder.event(event, span) {
                    break;
                }
            }
            Err(error) => {
                builder.syntax(&error);
                break;
            }
        }
    }
    builder.finish()
}

/// An open list or map. A map with a pending key waits for its value.
struct Open {
    start: u32,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map(Vec<(At<String>, Node)>, Option<At<String>>),
}

struct Builder<'a> {
    file: FileId,
    text: &'a str,
    limits: Limits,
    nodes: usize,
    errors: Vec<Diagnostic>,
    stack: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    /// Takes in one event; false to stop.
    fn event(&mut self, event: Event<'_>, span: granit_parser::Span) -> bool {
        let at = self.span(&span);
        if let Some(tag) = span.tag_span() {
            let at = self.span(&tag);
            self.banned(
                at,
                "tags such as `!!str` are not used in manifests",
                "write the value plainly, in quotes where it is text",
            );
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.banned(at, "a second document", "put it into a file of its own");
                    return false;
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.banned(
                    at,
                    "aliases (`*name`) are not used in manifests",
                    "write the value again, or use `defaults:`",
                );
                return self.put(Node {
                    at,
                    value: Value::Scalar {
                        text: String::new(),
                        plain: true,
                    },
                });
            }
            Event::Scalar(text, style, anchor, _) => {
                self.anchor(anchor, at);
                let plain = style == ScalarStyle::Plain;
                return self.put(Node {
                    at,
                    value: Value::Scalar {
                        text: text.into_owned(),
                        plain,
                    },
                });
            }
            Event::SequenceStart(_, anchor, _) => {
                self.anchor(anchor, at);
                return self.open(at, OpenKind::List(Vec::new()));
            }
            Event::MappingStart(_, anchor, _) => {
                self.anchor(anchor, at);
                return self.open(at, OpenKind::Map(Vec::new(), None));
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(at),
            // Stream and document marks; the enum may grow, and what we did not ask for does not come.
            _ => {}
        }
        true
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let byte = |marker: &granit_parser::Marker| {
            u32::try_from(marker.byte_offset().unwrap_or(self.text.len()).min(self.text.len())).unwrap_or(u32::MAX)
        };
        let (start, end) = (byte(&span.start), byte(&span.end));
        Span {
            file: self.file,
            start,
            end: end.max(start),
        }
    }

    fn banned(&mut self, at: Span, what: &str, hint: &str) {
        if self.errors.iter().filter(|error| error.code == Code::Banned).count() < MAX_BANNED {
            self.errors.push(Diagnostic::error(Code::Banned, at, what).hint(hint));
        }
    }

    fn anchor(&mut self, anchor: usize, at: Span) {
        if anchor != 0 {
            self.banned(
                at,
                "anchors (`&name`) are not used in manifests",
                "write the value again, or use `defaults:`",
            );
        }
    }

    fn open(&mut self, at: Span, kind: OpenKind) -> bool {
        if self.stack.len() >= MAX_DEPTH {
            let what = format!("nested deeper than {MAX_DEPTH} levels");
            self.errors.push(Diagnostic::error(Code::Limit, at, what));
            return false;
        }
        self.stack.push(Open { start: at.start, kind });
        true
    }

    fn close(&mut self, at: Span) -> bool {
        let Some(open) = self.stack.pop() else { return false };
        let value = match open.kind {
            OpenKind::List(items) => Value::List(items),
            OpenKind::Map(entries, _) => Value::Map(entries),
        };
        // A block collection ends where the next token starts; its own text ends before the blank in between.
        let text = &self.text[open.start as usize..at.end as usize];
        let end = open.start + u32::try_from(text.trim_end().len()).unwrap_or(0);
        self.put(Node {
            at: Span {
                file: self.file,
                start: open.start,
                end,
            },
            value,
        })
    }

    fn put(&mut self, node: Node) -> bool {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let what = format!("more than {} values in one file", self.limits.nodes);
            self.errors.push(Diagnostic::error(Code::Limit, node.at, what));
            return false;
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open {
                kind: OpenKind::List(items),
                ..
            }) => items.push(node),
            Some(Open {
                kind: OpenKind::Map(entries, pending),
                ..
            }) => match pending.take() {
                Some(key) => entries.push((key, node)),
                None => return self.key(node),
            },
        }
        true
    }

    fn key(&mut self, node: Node) -> bool {
        let Value::Scalar { text, plain } = node.value else {
            self.errors.push(Diagnostic::error(
                Code::Syntax,
                node.at,
                "a key must be a word, not a list or a map",
            ));
            return false;
        };
        if plain && text == "<<" {
            self.banned(
                node.at,
                "merge keys (`<<`) are not used in manifests",
                "write the values again, or use `defaults:`",
            );
        }
        let Some(Open {
            kind: OpenKind::Map(entries, pending),
            ..
        }) = self.stack.last_mut()
        else {
            return false;
        };
        if let Some((first, _)) = entries.iter().find(|(key, _)| key.value == text) {
            let first = first.at;
            let what = format!("`{text}` is there twice");
            self.errors
                .push(Diagnostic::error(Code::DoubleKey, node.at, what).note(first, "first here"));
        }
        *pending = Some(At {
            value: text,
            at: node.at,
        });
        true
    }

    fn syntax(&mut self, error: &granit_parser::ScanError) {
        let offset = error
            .marker()
            .byte_offset()
            .unwrap_or(self.text.len())
            .min(self.text.len());
        let start = u32::try_from(offset).unwrap_or(u32::MAX);
        let width = self.text[offset..].chars().next().map_or(0, char::len_utf8);
        let at = Span {
            file: self.file,
            start,
            end: start + u32::try_from(width).unwrap_or(0),
        };
        let mut found = Diagnostic::error(Code::Syntax, at, format!("not YAML: {}", error.info()));
        if error.info().contains("tab") {
            found = found.hint("indent with spaces; YAML does not take tabs");
        } else if error.info().contains("mapping values") {
            found = found.hint("text that holds `: ` stands in quotes");
        }
        self.errors.push(found);
    }

    fn finish(self) -> Result<Node, Vec<Diagnostic>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let empty = Span {
            file: self.file,
            start: 0,
            end: 0,
        };
        Ok(self.root.unwrap_or(Node {
            at: empty,
            value: Value::Map(Vec::new()),
        }))
    }
}
