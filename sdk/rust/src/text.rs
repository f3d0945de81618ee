//! Percent-encoding, as headers of CloudEvents and baggage have it.
//!
//! Source: CloudEvents 1.0.2, HTTP protocol binding, section 3.1.3.2; W3C Baggage.

/// An attribute's value as a header's: visible ASCII but for quotes and percent signs stays.
#[cfg(feature = "platform")]
pub(crate) fn header(text: &str) -> String {
    escaped(text, |byte| !matches!(byte, b'"' | b'%'))
}

/// A value of a member of baggage.
pub(crate) fn baggage(text: &str) -> String {
    escaped(text, |byte| !matches!(byte, b'"' | b',' | b';' | b'\\' | b'%'))
}

/// A segment of a path.
#[cfg(feature = "platform")]
pub(crate) fn segment(text: &str) -> String {
    escaped(text, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
    })
}

fn escaped(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `None` for what is no percent-encoded UTF-8.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
        if *first == b'%' {
            bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(all(test, feature = "platform"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["", "plain", "주문 \"42\" 100%", "a,b;c\\d", "/é?", "%41"] {
            for encode in [header, baggage, segment] {
                assert_eq!(decoded(&encode(text)).as_deref(), Some(text));
            }
        }
        assert_eq!(header("주문 \"42\" 100%"), "%EC%A3%BC%EB%AC%B8%20%2242%22%20100%25");
        assert_eq!(baggage("c 1,2"), "c%201%2C2");
        assert_eq!(segment("a/b?"), "a%2Fb%3F");
        for bad in ["%", "%4", "%zz", "%FF"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
