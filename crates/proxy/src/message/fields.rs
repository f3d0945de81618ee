//! Header and trailer fields.
//!
//! Cost: all fields are one arena of text and a list of spans, both reused by the next head of a connection, so reading a
//! field allocates nothing.

use std::fmt;

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    name: u16,
    value: u32,
}

/// Header or trailer fields in the sender's order.
#[derive(Clone, Default)]
pub struct Fields {
    text: Vec<u8>,
    spans: Vec<Span>,
}

impl Fields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// No fields, and room for those of a usual head.
    pub fn with_room() -> Self {
        Self {
            text: Vec::with_capacity(512),
            spans: Vec::with_capacity(16),
        }
    }

    /// Takes all fields away, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds a field at the end; the name is stored in lower case. The caller vouches that both are legal.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.push_bytes(name.as_bytes(), value.as_ref());
    }

    /// [`Fields::push`] for a name that is still bytes.
    pub fn push_bytes(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        debug_assert!(start + name.len() + value.len() <= u32::MAX as usize && name.len() <= u16::MAX as usize);
        self.text.extend_from_slice(name);
        self.text[start..].make_ascii_lowercase();
        self.text.extend_from_slice(value);
        self.spans.push(Span {
            start: start as u32,
            name: name.len() as u16,
            value: value.len() as u32,
        });
    }

    /// Replaces every field of this (lower-case) name by one.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.push(name, value);
    }

    /// Takes away every field of this (lower-case) name; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let (before, text) = (self.spans.len(), &self.text);
        self.spans.retain(|span| name_of(text, *span) != name.as_bytes());
        self.spans.len() != before
    }

    /// Keeps the fields for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &[u8]) -> bool) {
        let text = &self.text;
        self.spans.retain(|span| {
            let (name, value) = parts(text, *span);
            keep(name, value)
        });
    }

    /// The first value of this (lower-case) name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first value of this (lower-case) name, if it is text.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of this (lower-case) name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.spans.iter();
        named
            .filter(move |span| name_of(&self.text, **span) == name.as_bytes())
            .map(|span| value_of(&self.text, *span))
    }

    /// Whether there is a field of this (lower-case) name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.spans.iter().map(|span| parts(&self.text, *span))
    }

    /// All fields in order, names as bytes: for whoever only copies them.
    pub fn iter_bytes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let text = &self.text;
        self.spans
            .iter()
            .map(|span| (name_of(text, *span), value_of(text, *span)))
    }

    /// Whether a comma-separated list field has this token, in any case: `lists("connection", "close")`.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .any(|value| list_items(value).any(|item| item.eq_ignore_ascii_case(token.as_bytes())))
    }
}

/// The items of a comma-separated field value, trimmed, empty ones left out.
pub fn list_items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// Look-ups compare bytes: a dozen per request, each over all names.
fn name_of(text: &[u8], span: Span) -> &[u8] {
    &text[span.start as usize..span.start as usize + span.name as usize]
}

fn value_of(text: &[u8], span: Span) -> &[u8] {
    let at = span.start as usize + span.name as usize;
    &text[at..at + span.value as usize]
}

fn parts(text: &[u8], span: Span) -> (&str, &[u8]) {
    let name = name_of(text, span);
    // Names are ASCII by the codecs' checks; one that is not reads as empty and matches nothing.
    let name = std::str::from_utf8(name).unwrap_or_default();
    (name, value_of(text, span))
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(name, value)| (name.to_owned(), value.escape_ascii().to_string())),
            )
            .finish()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(items: I) -> Self {
        let mut fields = Self::new();
        items.into_iter().for_each(|(name, value)| fields.push(name, value));
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_order_and_repeat() {
        let mut fields: Fields = [("Accept", "a"), ("X-One", "1"), ("accept", "b")].into_iter().collect();
        assert_eq!(fields.all("accept").collect::<Vec<_>>(), [b"a", b"b"]);
        fields.set("accept", "c");
        fields.remove("x-none");
        let all: Vec<_> = fields.iter().map(|(name, value)| (name, value.to_vec())).collect();
        assert_eq!(all, [("x-one", b"1".to_vec()), ("accept", b"c".to_vec())]);
    }

    #[test]
    fn list_fields_are_searched_by_item() {
        let fields: Fields = [("connection", "keep-alive, Close"), ("connection", "x")]
            .into_iter()
            .collect();
        assert!(fields.lists("connection", "close") && fields.lists("connection", "x"));
        assert!(!fields.lists("connection", "keep"));
    }
}
