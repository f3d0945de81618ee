//! Header and trailer fields.
//!
//! Cost: all fields are one arena of text and a list of spans, both reused by the next head of a connection, so reading a
//! field allocates nothing. The arena holds them as HTTP/1 writes them, so that fields which nobody took away leave in one
//! copy.

use super::marks::Marks;
use std::fmt;
use std::ops::Range;

/// Where a field stands in the arena: `name: value\r\n`.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    name: u16,
    value: u32,
}

const COLON: &[u8; 2] = b": ";
const LINE_END: &[u8; 2] = b"\r\n";

impl Span {
    fn name(self) -> Range<usize> {
        self.start as usize..self.start as usize + usize::from(self.name)
    }

    fn value(self) -> Range<usize> {
        let start = self.name().end + COLON.len();
        start..start + self.value as usize
    }

    fn line(self) -> Range<usize> {
        self.start as usize..self.value().end + LINE_END.len()
    }
}

/// Header or trailer fields in the sender's order.
#[derive(Clone, Default)]
pub struct Fields {
    text: Vec<u8>,
    spans: Vec<Span>,
    marks: Marks,
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
            marks: Marks::default(),
        }
    }

    /// Takes all fields away, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.marks = Marks::default();
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds a field of this (lower-case) name at the end. The caller vouches that both are legal.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.push_with(name, |text| text.extend_from_slice(value.as_ref()));
    }

    /// [`Fields::push`] of a value that `write` appends to what it is given.
    pub fn push_with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        debug_assert!(!name.bytes().any(|b| b.is_ascii_uppercase()), "{name}");
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(COLON);
        let value = self.text.len();
        write(&mut self.text);
        let value = self.text.len() - value;
        self.text.extend_from_slice(LINE_END);
        self.note(start, name.len(), value);
    }

    /// [`Fields::push`] of a name that is still bytes, in any case.
    pub fn push_bytes(&mut self, name: &[u8], value: &[u8]) {
        let line = [name, COLON, value, LINE_END].concat();
        self.push_line(&line, name.len());
    }

    /// Adds a field by its whole line, `Name: value\r\n` with nothing more around the value; the name, in any case, has `name` bytes.
    pub fn push_line(&mut self, line: &[u8], name: usize) {
        debug_assert!(line[name..].starts_with(COLON) && line.ends_with(LINE_END));
        let start = self.text.len();
        self.text.extend_from_slice(line);
        self.text[start..start + name].make_ascii_lowercase();
        self.note(start, name, line.len() - name - COLON.len() - LINE_END.len());
    }

    /// A line has been added to the text.
    fn note(&mut self, start: usize, name: usize, value: usize) {
        debug_assert!(self.text.len() <= u32::MAX as usize && name <= u16::MAX as usize);
        self.marks.add(&self.text[start..start + name]);
        self.spans.push(Span {
            start: start as u32,
            name: name as u16,
            value: value as u32,
        });
    }

    /// Replaces every field of this (lower-case) name by one.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.push(name, value);
    }

    /// Takes away every field of this (lower-case) name; whether there was one.
    #[inline]
    pub fn remove(&mut self, name: &str) -> bool {
        self.marks.may_have(name.as_bytes()) && self.search_and_remove(name)
    }

    #[inline(never)]
    fn search_and_remove(&mut self, name: &str) -> bool {
        let before = self.spans.len();
        self.retain(|other, _| other != name.as_bytes());
        self.spans.len() < before
    }

    /// Takes away every field whose name begins like this (lower case).
    pub fn remove_all(&mut self, prefix: &str) {
        if self.may_begin(prefix) {
            self.retain(|name, _| !name.starts_with(prefix.as_bytes()));
        }
    }

    /// False only where no field has this (lower-case) name: for the price of a comparison, where [`Fields::contains`] searches.
    #[inline(always)]
    pub fn may_have(&self, name: &str) -> bool {
        self.marks.may_have(name.as_bytes())
    }

    /// False only where no field's name begins like this (lower case).
    #[inline(always)]
    pub fn may_begin(&self, prefix: &str) -> bool {
        self.marks.may_begin(prefix.as_bytes())
    }

    /// Keeps the fields for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let text = &self.text;
        self.spans.retain(|span| keep(&text[span.name()], &text[span.value()]));
    }

    /// The first value of this (lower-case) name.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        match self.may_have(name) {
            true => self.search(name),
            false => None,
        }
    }

    #[inline(never)]
    fn search(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first value of this (lower-case) name, if it is text.
    #[inline]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of this (lower-case) name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.spans.iter();
        named
            .filter(move |span| &self.text[span.name()] == name.as_bytes())
            .map(|span| &self.text[span.value()])
    }

    /// Whether there is a field of this (lower-case) name.
    #[inline]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter_bytes().map(|(name, value)| {
            // Names are ASCII by the codecs' checks; one that is not reads as empty and matches nothing.
            (std::str::from_utf8(name).unwrap_or_default(), value)
        })
    }

    /// All fields in order, names as bytes.
    pub fn iter_bytes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fields = self.spans.iter();
        fields.map(|span| (&self.text[span.name()], &self.text[span.value()]))
    }

    /// All fields in order as HTTP/1 writes them, in as few pieces as they are.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let joined = |before: &Span, next: &Span| before.line().end == next.start as usize;
        self.spans.chunk_by(joined).filter_map(|run| {
            let (first, last) = (run.first()?, run.last()?);
            Some(&self.text[first.line().start..last.line().end])
        })
    }

    /// Whether a comma-separated list field has this token, in any case: `lists("connection", "close")`.
    #[inline]
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.may_have(name) && self.search_lists(name, token)
    }

    #[inline(never)]
    fn search_lists(&self, name: &str, token: &str) -> bool {
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
        items
            .into_iter()
            .for_each(|(name, value)| fields.push_bytes(name.as_bytes(), value.as_bytes()));
        fields
    }
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
