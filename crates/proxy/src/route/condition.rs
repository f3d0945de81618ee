//! What a route asks beyond host and path: methods, headers, query parameters.

use super::{BadPattern, paths};
use crate::filter::cors;
use crate::message::{Fields, RequestHead};
use http::Method;
use ondol_core::wire::proxy::{RouteMatch, ValueMatch};
use regex::Regex;
use std::borrow::Cow;
use std::cmp::Reverse;

#[derive(Debug)]
enum Value {
    Exact(String),
    Regex(Regex),
}

impl Value {
    fn new(spec: &ValueMatch) -> Result<Self, BadPattern> {
        Ok(match spec {
            ValueMatch::Exact(text) => Self::Exact(text.clone()),
            ValueMatch::Regex(text) => Self::Regex(paths::whole(text)?),
        })
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text == value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// All must hold.
#[derive(Debug)]
pub(super) struct Conditions {
    methods: Vec<Method>,
    headers: Vec<(String, Value)>,
    query: Vec<(String, Value)>,
    /// It answers preflights, so it takes those for requests that it would take.
    cors: bool,
}

impl Conditions {
    pub(super) fn new(spec: &RouteMatch, cors: bool) -> Result<Self, BadPattern> {
        let values = |list: &[(String, ValueMatch)]| {
            list.iter()
                .map(|(name, value)| Ok((name.clone(), Value::new(value)?)))
                .collect::<Result<Vec<_>, BadPattern>>()
        };
        let mut headers = values(&spec.headers)?;
        headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
        // A method that is not a token can be in no request either.
        let methods = spec.methods.iter().filter_map(|method| method.parse().ok()).collect();
        Ok(Self {
            methods,
            headers,
            query: values(&spec.query)?,
            cors,
        })
    }

    /// Sorts routes with the same path: the smaller goes first.
    pub(super) fn precedence(&self) -> (bool, Reverse<usize>, Reverse<usize>) {
        (
            self.methods.is_empty(),
            Reverse(self.headers.len()),
            Reverse(self.query.len()),
        )
    }

    pub(super) fn hold(&self, head: &RequestHead) -> bool {
        // A preflight names the method, and of the fields only those that the page sets itself: by name, not by value.
        let asked = self.cors.then(|| cors::preflight(head)).flatten();
        let method = asked.unwrap_or(head.method.as_str());
        (self.methods.is_empty() || self.methods.iter().any(|own| own == method))
            && (asked.is_some() || self.headers_hold(head))
            && self
                .query
                .iter()
                .all(|(name, value)| parameter(head.query(), name).is_some_and(|text| value.holds(&text)))
    }
}

impl Conditions {
    fn headers_hold(&self, head: &RequestHead) -> bool {
        let mut all = self.headers.iter();
        all.all(|(name, value)| header(head, name).is_some_and(|text| value.holds(&text)))
    }
}

/// A header's value; several are joined by `, ` (RFC 9110 section 5.3).
pub(crate) fn header<'a>(head: &'a RequestHead, name: &str) -> Option<Cow<'a, str>> {
    if name == "host" {
        return Some(Cow::Borrowed(head.authority()));
    }
    joined(&head.fields, name)
}

fn joined<'a>(fields: &'a Fields, name: &str) -> Option<Cow<'a, str>> {
    let mut values = fields.all(name).map(String::from_utf8_lossy);
    let mut text = values.next()?;
    for more in values {
        let joined = text.to_mut();
        joined.push_str(", ");
        joined.push_str(&more);
    }
    Some(text)
}

/// The first value of a query parameter, decoded.
pub(crate) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    let pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(key, value)| (decoded(key), value))
        .find(|(key, _)| key == name)
        .map(|(_, value)| decoded(value))
}

/// `+` is a space and `%41` is `A`; a `%` that begins no triplet stands for itself.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let triplet = text
            .get(at + 1..at + 3)
            .filter(|hex| *byte == b'%' && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match triplet.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(meant) => {
                out.push(meant);
                at += 2;
            }
            None => out.push(if *byte == b'+' { b' ' } else { *byte }),
        }
        at += 1;
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_parameter_of_a_name_counts_and_is_decoded() {
        for (query, value) in [
            ("a=1&a=2", Some("1")),
            ("b=1&a", Some("")),
            ("%61=x%20y+z", Some("x y z")),
            ("a=%zz%", Some("%zz%")),
            ("a=%EB%B0%A5", Some("밥")),
            ("aa=1", None),
            ("", None),
        ] {
            assert_eq!(parameter(Some(query), "a").as_deref(), value, "{query}");
        }
        assert_eq!(parameter(None, "a"), None);
    }

    #[test]
    fn repeated_headers_are_joined() {
        let fields: Fields = [("x", "1"), ("y", "0"), ("x", "2")].into_iter().collect();
        assert_eq!(joined(&fields, "x").as_deref(), Some("1, 2"));
        assert_eq!(joined(&fields, "z"), None);
    }
}
