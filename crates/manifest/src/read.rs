//! Tree → typed documents, collecting every error instead of stopping at the first.
//!
//! What a single value is read as is in `value.rs`, what keys a document has in `doc/`, by the macro of `document.rs`.
//!
//! A reader returns `None` only when it has reported why.

use crate::Env;
use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::reference::{self, Mode, Use};
use crate::source::{At, Span};
use crate::tree::{Node, Value};
use schemars::{Schema, SchemaGenerator, json_schema};
use std::path::{Path, PathBuf};

/// What a reader needs beside the node, and where it leaves what it found.
pub struct Reader<'a> {
    /// The world outside the files.
    pub env: &'a dyn Env,
    /// The folder of the file that is being read; `${file:…}` is relative to it.
    pub folder: PathBuf,
    /// The text of the file that is being read.
    pub text: &'a str,
    /// Whether `${env:…}` and `${file:…}` are resolved. Saga files take none: definitions are stored.
    pub references: bool,
    /// Errors so far.
    pub found: Vec<Diagnostic>,
    /// Files that `${file:…}` named.
    pub named_files: Vec<PathBuf>,
}

impl<'a> Reader<'a> {
    /// A reader of one file with this text.
    pub fn new(env: &'a dyn Env, file: &Path, text: &'a str, references: bool) -> Self {
        let folder = file.parent().unwrap_or(Path::new("/")).to_path_buf();
        Self {
            env,
            folder,
            text,
            references,
            found: Vec::new(),
            named_files: Vec::new(),
        }
    }

    /// Reports an error.
    pub fn error(&mut self, code: Code, at: Span, message: impl Into<String>) {
        self.found.push(Diagnostic::error(code, at, message));
    }

    /// The text of a scalar with its references resolved.
    pub fn scalar(&mut self, node: &Node) -> Option<String> {
        let (text, uses) = self.resolve(node)?;
        for used in &uses {
            let what = format!("nothing fills in `${{{}}}` here", used.name);
            let hint = "only `run` and `env` of a service take an instance's variables; `${env:NAME}` reads Ondol's environment";
            self.found
                .push(Diagnostic::error(Code::Variable, used.at, what).hint(hint));
        }
        uses.is_empty().then_some(text)
    }

    /// The text of a scalar, its references resolved, its instance variables left in place and listed.
    pub fn resolve(&mut self, node: &Node) -> Option<(String, Vec<Use>)> {
        let Value::Scalar { text, .. } = &node.value else {
            self.error(Code::Shape, node.at, format!("expected text, found {}", node.kind()));
            return None;
        };
        if node.is_null() {
            self.error(Code::Shape, node.at, "expected a value, found nothing");
            return None;
        }
        let mode = if self.references { Mode::Resolve } else { Mode::Refuse };
        let inner = inner_offset(self.text, node);
        match reference::resolve(text, mode, self.env, &self.folder) {
            Ok(resolved) => {
                self.named_files.extend(resolved.files);
                let place = |used: &Use| Use {
                    at: inner.map_or(node.at, |o| node.at.part(o + used.from, o + used.to)),
                    ..used.clone()
                };
                Some((resolved.text, resolved.uses.iter().map(place).collect()))
            }
            Err(bad) => {
                let at = inner.map_or(node.at, |offset| node.at.part(offset + bad.from, offset + bad.to));
                self.found
                    .push(Diagnostic::error(bad.code, at, bad.message).hint(bad.hint));
                self.named_files.extend(bad.file);
                None
            }
        }
    }

    /// The map of a document, its unknown keys reported.
    pub fn map<'n>(&mut self, node: &'n Node, what: &'static str, keys: &[&str], later: &[&str]) -> Option<Map<'n>> {
        let Value::Map(entries) = &node.value else {
            let found = Diagnostic::error(Code::Shape, node.at, format!("{what} is a map, found {}", node.kind()));
            self.found.push(found.hint(format!("keys: {}", keys.join(", "))));
            return None;
        };
        for (key, _) in entries.iter().filter(|(key, _)| !keys.contains(&&*key.value)) {
            let message = format!("{what} has no key `{}`", key.value);
            let found = Diagnostic::error(Code::UnknownKey, key.at, message);
            self.found.push(if later.contains(&&*key.value) {
                found.hint("this key is planned, but not in this version: take it out")
            } else {
                found.maybe_hint(suggest(&key.value, keys.iter().copied()))
            });
        }
        Some(Map {
            at: node.at,
            what,
            entries,
        })
    }
}

/// How far into the node's source its text starts, if the text stands there as it is, without escapes or folding.
pub fn inner_offset(source: &str, node: &Node) -> Option<usize> {
    let (Value::Scalar { text, plain }, range) = (&node.value, node.at.start as usize..node.at.end as usize) else {
        return None;
    };
    let raw = source.get(range)?;
    let offset = usize::from(!plain);
    (raw.get(offset..offset + text.len()) == Some(text)).then_some(offset)
}

/// A map whose keys were checked.
pub struct Map<'n> {
    /// Where.
    pub at: Span,
    what: &'static str,
    entries: &'n [(At<String>, Node)],
}

impl<'n> Map<'n> {
    fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries
            .iter()
            .find(|(name, _)| name.value == key)
            .map(|(_, node)| node)
    }
}

/// Something that a value can be read as.
pub trait Read: Sized {
    /// Reads a value; `None` when the reason is reported.
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self>;

    /// The JSON Schema of what is taken.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

/// Something that a key of a document can hold.
pub trait Field: Sized {
    /// Whether the key must be there when it has no default.
    const REQUIRED: bool;

    /// Reads the key of a map. `default` is read in place of a key that is absent.
    fn field(map: &Map<'_>, key: &'static str, default: Option<&str>, cx: &mut Reader<'_>) -> Option<Self>;

    /// The JSON Schema of the key's value.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

impl<T: Read> Read for At<T> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            value: T::read(node, cx)?,
            at: node.at,
        })
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

impl<T: Read> Field for At<T> {
    const REQUIRED: bool = true;
    fn field(map: &Map<'_>, key: &'static str, default: Option<&str>, cx: &mut Reader<'_>) -> Option<Self> {
        match (map.get(key), default) {
            (Some(node), _) => Self::read(node, cx),
            (None, Some(text)) => {
                let value = Value::Scalar {
                    text: text.into(),
                    plain: true,
                };
                Self::read(
                    &Node {
                        at: Span::BUILT_IN,
                        value,
                    },
                    cx,
                )
            }
            (None, None) => {
                cx.error(Code::MissingKey, map.at, format!("{} needs the key `{key}`", map.what));
                None
            }
        }
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

impl<T: Read> Field for Option<T> {
    const REQUIRED: bool = false;
    fn field(map: &Map<'_>, key: &'static str, _: Option<&str>, cx: &mut Reader<'_>) -> Option<Self> {
        // A value that cannot be read is reported; the document goes on without it, so that the rest is looked at too.
        Some(map.get(key).and_then(|node| T::read(node, cx)))
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            let found = Diagnostic::error(Code::Shape, node.at, format!("expected a list, found {}", node.kind()));
            cx.found
                .push(found.hint("write `[a, b]`, or a line with `- ` for each"));
            return None;
        };
        Some(items.iter().filter_map(|item| T::read(item, cx)).collect())
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let items = T::schema(generator);
        json_schema!({ "type": "array", "items": items })
    }
}

impl<T: Read> Field for Vec<T> {
    const REQUIRED: bool = false;
    fn field(map: &Map<'_>, key: &'static str, _: Option<&str>, cx: &mut Reader<'_>) -> Option<Self> {
        Some(map.get(key).and_then(|node| Self::read(node, cx)).unwrap_or_default())
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        <Self as Read>::schema(generator)
    }
}

/// A document whose keys all have defaults, so that leaving it out means all of them.
#[derive(Clone, PartialEq, Debug)]
pub struct Filled<T>(pub T);

impl<T> std::ops::Deref for Filled<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Read> Field for Filled<T> {
    const REQUIRED: bool = false;
    fn field(map: &Map<'_>, key: &'static str, _: Option<&str>, cx: &mut Reader<'_>) -> Option<Self> {
        let empty = Node {
            at: Span::BUILT_IN,
            value: Value::Map(Vec::new()),
        };
        // Where a document cannot be read its defaults stand in, so that the rest is looked at too.
        let written = map.get(key).and_then(|node| T::read(node, cx));
        written.or_else(|| T::read(&empty, cx)).map(Self)
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

/// A map from names that the user chooses.
#[derive(Clone, PartialEq, Debug)]
pub struct Named<T>(pub Vec<(At<String>, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// Names and values in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&At<String>, &T)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.iter().find(|(key, _)| key.value == name).map(|(_, value)| value)
    }
}

impl<T: Read> Read for Named<T> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            cx.error(
                Code::Shape,
                node.at,
                format!("expected a map of names, found {}", node.kind()),
            );
            return None;
        };
        Some(Self(
            entries
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), T::read(value, cx)?)))
                .collect(),
        ))
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let values = T::schema(generator);
        json_schema!({ "type": "object", "additionalProperties": values })
    }
}

impl<T: Read> Field for Named<T> {
    const REQUIRED: bool = false;
    fn field(map: &Map<'_>, key: &'static str, _: Option<&str>, cx: &mut Reader<'_>) -> Option<Self> {
        Some(map.get(key).and_then(|node| Self::read(node, cx)).unwrap_or_default())
    }
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        <Self as Read>::schema(generator)
    }
}
