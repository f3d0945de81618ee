//! The one canonical form of a request's path: what routes match, what is authorised and what is sent on are the same.
//!
//! Percent triplets are upper case, unreserved characters are not encoded, dot segments are resolved, `//` is `/`.
//! Refused, because two readers could read two paths: `%00`, an encoded `/` or `\`, a plain `\`, an incomplete triplet,
//! control and non-ASCII bytes, a fragment, `..` above the root, and parameters (`;x`) that hide a dot segment.
//!
//! Whoever reads a path beside the proxy, such as a purge, makes it of this form before it compares.
//!
//! Cost: one pass over the target, no allocation beyond `out`. What most paths need is inlined where it is called. Cases: `conformance/gateway/paths.tsv`.

/// Why a path was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadPath {
    /// It is not of the form `/…`.
    #[error("the path does not begin with /")]
    NoSlash,
    /// A byte that may not be in a path or query.
    #[error("the target has a byte that must be percent-encoded")]
    Byte,
    /// `%` without two hexadecimal digits.
    #[error("a % is not followed by two hexadecimal digits")]
    Triplet,
    /// `%00`, `%2F` or `%5C`.
    #[error("the path has an encoded NUL, / or \\")]
    Encoded,
    /// `..` above the root.
    #[error("the path climbs above its root")]
    AboveRoot,
    /// `;` before or after dots, or in an empty segment.
    #[error("a path parameter hides a dot or empty segment")]
    Parameter,
}

/// Appends the canonical form of `target` (path, then an optional query, which stays as it is) to `out`, which is empty;
/// gives the path's length.
///
/// # Errors
/// [`BadPath`]; what is in `out` then is of no use.
#[inline]
pub fn canonical(target: &[u8], out: &mut String) -> Result<usize, BadPath> {
    if target == b"*" {
        out.push('*'); // OPTIONS alone may say so; the codecs see to it.
        return Ok(1);
    }
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    if path.first() != Some(&b'/') {
        return Err(BadPath::NoSlash);
    }
    let is_bad = |b: u8| !b.is_ascii_graphic() || b == b'#';
    let bad_query = query.iter().fold(false, |bad, b| bad | is_bad(*b));
    match std::str::from_utf8(target) {
        Ok(target) if !bad_query && is_canonical(path) => {
            out.push_str(target);
            return Ok(end);
        }
        _ => push_path(path, out)?,
    }
    let length = out.len();
    match std::str::from_utf8(query) {
        Ok(query) if !bad_query => out.push_str(query),
        _ => return Err(BadPath::Byte),
    }
    Ok(length)
}

/// Whether a path is certain to be its own canonical form: most are, and need no second look at each byte.
#[inline]
fn is_canonical(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().all(|byte| {
        let starts = before == b'/';
        before = *byte;
        match byte {
            b'/' | b'.' => !starts,
            b';' => false,
            byte => PCHAR[usize::from(*byte)],
        }
    })
}

fn push_path(path: &[u8], out: &mut String) -> Result<(), BadPath> {
    let mut segments = path[1..].split(|b| *b == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let start = out.len();
        out.push('/');
        push_segment(segment, out)?;
        match &out[start + 1..] {
            "" if last => {}
            "" => out.truncate(start),
            "." => {
                out.truncate(start);
                if last {
                    out.push('/');
                }
            }
            ".." => {
                let parent = out[..start].rfind('/').ok_or(BadPath::AboveRoot)?;
                out.truncate(parent);
                if last {
                    out.push('/');
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn push_segment(segment: &[u8], out: &mut String) -> Result<(), BadPath> {
    let mut rest = segment.iter();
    while let Some(byte) = rest.next() {
        let byte = match *byte {
            b'%' => {
                let (high, low) = rest.next().zip(rest.next()).ok_or(BadPath::Triplet)?;
                let value = (hex(*high)? << 4) | hex(*low)?;
                match value {
                    0 | b'/' | b'\\' => return Err(BadPath::Encoded),
                    value if is_unreserved(value) => value,
                    value => {
                        out.push('%');
                        out.push(char::from(b"0123456789ABCDEF"[usize::from(value >> 4)]));
                        out.push(char::from(b"0123456789ABCDEF"[usize::from(value & 15)]));
                        continue;
                    }
                }
            }
            byte if PCHAR[usize::from(byte)] => byte,
            _ => return Err(BadPath::Byte),
        };
        out.push(char::from(byte));
    }
    Ok(())
}

fn hex(digit: u8) -> Result<u8, BadPath> {
    char::from(digit)
        .to_digit(16)
        .map(|value| value as u8)
        .ok_or(BadPath::Triplet)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 `pchar` without `%`, and the seven that browsers send as they are.
const PCHAR: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < 256 {
        table[byte] = is_pchar(byte as u8);
        byte += 1;
    }
    table
};

const fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
        || matches!(byte, b'[' | b']' | b'|' | b'^' | b'"' | b'{' | b'}')
}

/// The canonical path without `;parameters`; `None` when it has none.
///
/// # Errors
/// [`BadPath::Parameter`] when a segment without its parameters is empty or dots: servers disagree about those.
#[inline]
pub fn without_parameters(path: &str) -> Result<Option<String>, BadPath> {
    if !path.contains(';') {
        return Ok(None);
    }
    let mut out = String::with_capacity(path.len());
    for segment in path[1..].split('/') {
        let plain = segment.split(';').next().unwrap_or_default();
        if plain.len() != segment.len() && matches!(plain, "" | "." | "..") {
            return Err(BadPath::Parameter);
        }
        out.push('/');
        out.push_str(plain);
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `conformance/gateway/paths.tsv`: target, then the canonical target or `!` and the refusal's name.
    #[test]
    fn every_path_of_the_conformance_table_has_its_form() {
        let table = include_str!("../../../conformance/gateway/paths.tsv");
        let mut seen = 0;
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (given, want) = line.split_once('\t').expect("two columns");
            let mut out = String::new();
            let got = canonical(given.as_bytes(), &mut out).and_then(|end| without_parameters(&out[..end]));
            match want.strip_prefix('!') {
                Some(name) => assert_eq!(format!("{:?}", got.expect_err(given)), name, "{given}"),
                None => assert_eq!(got.map(|_| out.as_str()), Ok(want), "{given}"),
            }
            seen += 1;
        }
        assert!(seen > 30);
    }

    proptest::proptest! {
        /// The short cut is none: what it takes for canonical is what the long way makes of it.
        #[test]
        fn what_is_taken_for_canonical_is_left_alone_by_the_long_way(path in "/([a-c./;%2fF\\\\~:@\"|^ é\u{0}]|//|/\\.|\\.\\./){0,12}") {
            let mut long = String::new();
            if is_canonical(path.as_bytes()) {
                proptest::prop_assert_eq!(push_path(path.as_bytes(), &mut long), Ok(()));
                proptest::prop_assert_eq!(&long, &path);
            }
        }

        #[test]
        fn a_canonical_path_stays_as_it_is(path in "/[a-z%./;0-9A-F~]{0,24}") {
            let mut once = String::new();
            if canonical(path.as_bytes(), &mut once).is_ok() {
                let mut twice = String::new();
                proptest::prop_assert_eq!(canonical(once.as_bytes(), &mut twice), Ok(once.len()));
                proptest::prop_assert_eq!(&once, &twice);
                let dotted = once.split('/').any(|segment| segment == "." || segment == "..");
                proptest::prop_assert!(!dotted && !once.contains("//"), "{}", once);
            }
        }
    }
}
