//! The paths of one host: exact ones, prefixes by whole segments, expressions.

use super::{BadPattern, canonical_pattern};
use ondol_core::wire::proxy::PathMatch;
use regex::{Regex, RegexBuilder};
use std::cmp::Reverse;
use std::collections::HashMap;

/// The largest compiled expression, bytes.
const REGEX_LIMIT: usize = 1 << 20;

/// A route by its position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate(pub usize);

/// A path pattern in canonical form.
pub(super) enum Pattern {
    Exact(String),
    /// Without a slash at its end; the root is empty.
    Prefix(String),
    Regex {
        regex: Regex,
        /// Length of the plain text that every match begins with, bytes.
        plain: usize,
    },
}

impl Pattern {
    pub(super) fn new(spec: &PathMatch) -> Result<Self, BadPattern> {
        Ok(match spec {
            PathMatch::Exact(path) => Self::Exact(canonical_pattern(path)?),
            PathMatch::Prefix(path) => {
                let mut path = canonical_pattern(path)?;
                path.truncate(path.trim_end_matches('/').len());
                Self::Prefix(path)
            }
            PathMatch::Regex(text) => Self::Regex {
                regex: whole(text)?,
                plain: plain_start(text),
            },
        })
    }
}

/// An expression that must match the whole text. Linear in the text's length, whatever it says.
pub(super) fn whole(text: &str) -> Result<Regex, BadPattern> {
    // Compiled alone first: `a)(b` must not become legal inside the group.
    let checked = Regex::new(text).and_then(|_| {
        RegexBuilder::new(&format!(r"\A(?:{text})\z"))
            .size_limit(REGEX_LIMIT)
            .build()
    });
    checked.map_err(|error| BadPattern::Regex(text.to_owned(), Box::new(error)))
}

/// How much plain text every match of an expression begins with, bytes; never too much.
fn plain_start(text: &str) -> usize {
    let mut depth = 0_i32;
    let mut escaped = false;
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => return 0, // Each branch begins on its own.
            _ => {}
        }
    }
    let (mut plain, mut rest) = (0_usize, text);
    loop {
        let escaped = rest.strip_prefix('\\').filter(|rest| rest.starts_with(['.', '-', '/']));
        let at = escaped.unwrap_or(rest);
        match at.chars().next() {
            // A quantifier takes the character before it away.
            Some('?' | '*' | '{') if escaped.is_none() => return plain.saturating_sub(1),
            Some(c) if escaped.is_some() || c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '~' | '%') => {
                (plain, rest) = (plain + 1, &at[1..]);
            }
            _ => return plain,
        }
    }
}

#[derive(Debug)]
struct Expression {
    regex: Regex,
    plain: usize,
    candidate: Candidate,
}

/// What routes with the same host match by path.
#[derive(Debug, Default)]
pub(super) struct Paths {
    exact: HashMap<Box<str>, Vec<Candidate>>,
    prefixes: HashMap<Box<str>, Vec<Candidate>>,
    /// Of the longest prefix, bytes: no longer one need be looked up.
    longest: usize,
    /// The longest plain start first.
    expressions: Vec<Expression>,
}

impl Paths {
    pub(super) fn add(&mut self, pattern: &Pattern, candidate: Candidate) {
        match pattern {
            Pattern::Exact(path) => self.exact.entry(path.as_str().into()).or_default().push(candidate),
            Pattern::Prefix(path) => {
                self.longest = self.longest.max(path.len());
                self.prefixes.entry(path.as_str().into()).or_default().push(candidate);
            }
            Pattern::Regex { regex, plain } => {
                self.expressions.push(Expression {
                    regex: regex.clone(),
                    plain: *plain,
                    candidate,
                });
            }
        }
    }

    /// Brings candidates with the same path into their order.
    pub(super) fn sort_by_key<K: Ord>(&mut self, key: impl Fn(Candidate) -> K) {
        let lists = self.exact.values_mut().chain(self.prefixes.values_mut());
        lists.for_each(|list| list.sort_by_key(|candidate| key(*candidate)));
        self.expressions
            .sort_by_key(|expression| (Reverse(expression.plain), key(expression.candidate)));
    }

    /// The first candidate by precedence whose path matches and that `takes` the request.
    pub(super) fn find(&self, path: &str, takes: impl Fn(Candidate) -> bool) -> Option<Candidate> {
        let first = |list: Option<&Vec<Candidate>>| list?.iter().copied().find(|candidate| takes(*candidate));
        if let Some(found) = first(self.exact.get(path)) {
            return Some(found);
        }
        let mut expressions = self.expressions.iter().peekable();
        let matches = |e: &&Expression| e.regex.is_match(path) && takes(e.candidate);
        for prefix in segments_up(path).filter(|prefix| prefix.len() <= self.longest) {
            while let Some(expression) = expressions.next_if(|e| e.plain > prefix.len()) {
                if matches(&expression) {
                    return Some(expression.candidate);
                }
            }
            if let Some(found) = first(self.prefixes.get(prefix)) {
                return Some(found);
            }
        }
        expressions.find(matches).map(|expression| expression.candidate)
    }
}

/// `/a/b` → `/a/b`, `/a` and the empty text. What is not a path, such as `*`, has no prefix.
fn segments_up(path: &str) -> impl Iterator<Item = &str> {
    let whole = path.starts_with('/').then_some(path);
    whole
        .into_iter()
        .chain(path.rmatch_indices('/').map(|(at, _)| &path[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_go_up_by_segments() {
        assert_eq!(segments_up("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", ""]);
        assert_eq!(segments_up("/a/").collect::<Vec<_>>(), ["/a/", "/a", ""]);
        assert_eq!(segments_up("/").collect::<Vec<_>>(), ["/", ""]);
        assert_eq!(segments_up("*").count(), 0);
    }

    #[test]
    fn the_plain_start_is_what_every_match_begins_with() {
        for (text, plain) in [
            ("/api/v[0-9]+", "/api/v"),
            ("/api/x*", "/api/"),
            ("/api/x+", "/api/x"),
            ("/a|/b", ""),
            ("/a(b|c)", "/a"),
            (r"/a\|b", "/a"),
            (r"/a\.B/(?:C|D)", "/a.B/"),
            (r"/a\.*", "/a"),
            (r"/a\d", "/a"),
            (r"/a\", "/a"),
            ("(?i)/a", ""),
            ("/files", "/files"),
            (".*", ""),
            ("*", ""),
        ] {
            assert_eq!(plain_start(text), plain.len(), "{text}");
        }
    }
}
