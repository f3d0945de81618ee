//! [`document!`] declares a document's keys once: the struct, the reader, the JSON Schema and the reference page all come
//! from that one list, so they cannot disagree. A field's type says how it is read (`read.rs`):
//! `At<T>` must be there (or has a default, written after `=`), `Option<T>` may be, `Vec<T>` and
//! [`Named<T>`](crate::read::Named) may be empty.

use crate::source::Span;
use crate::tree::{Node, Value};
use schemars::{Schema, json_schema};
use serde_json::json;

/// One key of a document, for the schema and the reference page.
#[derive(Clone, Debug)]
pub struct Key {
    /// As written in the file.
    pub name: &'static str,
    /// What it means.
    pub about: String,
    /// Must be there.
    pub required: bool,
    /// What holds when it is absent.
    pub default: Option<&'static str>,
    /// What it takes.
    pub schema: Schema,
}

/// The JSON Schema of a document with these keys.
pub fn object_schema(about: &str, keys: Vec<Key>) -> Schema {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for key in keys {
        let mut schema = key.schema;
        schema.insert("description".into(), json!(key.about));
        if let Some(default) = key.default {
            schema.insert(
                "default".into(),
                Node {
                    at: Span::BUILT_IN,
                    value: Value::Scalar {
                        text: default.into(),
                        plain: true,
                    },
                }
                .json(),
            );
        }
        if key.required {
            required.push(key.name);
        }
        properties.insert(key.name.into(), schema.into());
    }
    let mut schema = json_schema!({ "type": "object", "description": about, "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    schema
}

/// The key of a field: `r#match` is written `match`.
pub const fn key_of(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', rest @ ..] => match std::str::from_utf8(rest) {
            Ok(key) => key,
            Err(_) => field,
        },
        _ => field,
    }
}

/// Doc comments as one text.
pub fn about(lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
        .trim()
        .to_owned()
}

/// Declares a document: the struct, its reader and its schema from one list of keys.
macro_rules! document {
    (
        $(#[doc = $about:literal])*
        $what:literal struct $name:ident {
            $($(#[doc = $doc:literal])* $field:ident: $type:ty $(= $default:literal)?,)*
        }
        $(later: $($later:literal),+;)?
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, PartialEq, Debug)]
        pub struct $name {
            /// Where the document stands.
            pub at: $crate::source::Span,
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl $name {
            /// Its keys.
            pub const KEYS: &[&str] = &[$($crate::document::key_of(stringify!($field)),)*];
            /// Keys that are refused with a word about later.
            pub const LATER: &[&str] = &[$($($later,)+)?];
        }

        impl $crate::read::Read for $name {
            fn read(node: &$crate::tree::Node, cx: &mut $crate::read::Reader<'_>) -> Option<Self> {
                let map = cx.map(node, $what, Self::KEYS, Self::LATER)?;
                $(let $field = <$type as $crate::read::Field>::field(
                    &map, $crate::document::key_of(stringify!($field)), $crate::document::default_of!($($default)?), cx);)*
                Some(Self { at: node.at, $($field: $field?,)* })
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).trim_end_matches("Doc").into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let keys = vec![$({
                    let default: Option<&'static str> = $crate::document::default_of!($($default)?);
                    $crate::document::Key {
                        name: $crate::document::key_of(stringify!($field)),
                        about: $crate::document::about(&[$($doc),*]),
                        required: <$type as $crate::read::Field>::REQUIRED && default.is_none(),
                        default,
                        schema: <$type as $crate::read::Field>::schema(generator),
                    }
                },)*];
                $crate::document::object_schema(&$crate::document::about(&[$($about),*]), keys)
            }
        }
    };
}
pub(crate) use document;

macro_rules! default_of {
    () => {
        None
    };
    ($default:literal) => {
        Some($default)
    };
}
pub(crate) use default_of;
