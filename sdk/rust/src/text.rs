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

/// A moment as RFC 3339 writes it. A leap second is none: no clock here shows it.
pub(crate) fn is_moment(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |from: usize, length: usize| -> Option<u32> {
        let digits = bytes.get(from..from + length)?;
        let all = digits.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(digits).ok().filter(|_| all)?.parse().ok()
    };
    let is = |at: usize, letters: &[u8]| bytes.get(at).is_some_and(|byte| letters.contains(byte));
    let within = |from, last| number(from, 2).is_some_and(|number| number <= last);
    let fraction = bytes.get(19..).unwrap_or_default();
    let digits = fraction.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
    let zone = match fraction.first() {
        Some(b'.') if (1..=9).contains(&digits) => 20 + digits,
        _ => 19,
    };
    let has_zone = match bytes.len() - zone.min(bytes.len()) {
        1 => is(zone, b"Zz"),
        6 => is(zone, b"+-") && within(zone + 1, 23) && is(zone + 3, b":") && within(zone + 4, 59),
        _ => false,
    };
    let has_date = match (number(0, 4), number(5, 2), number(8, 2)) {
        (Some(year), Some(month), Some(day)) => (1..=days(year, month)).contains(&day),
        _ => false,
    };
    let marks: [(usize, &[u8]); 5] = [(4, b"-"), (7, b"-"), (10, b"Tt"), (13, b":"), (16, b":")];
    has_date
        && has_zone
        && marks.iter().all(|(at, mark)| is(*at, mark))
        && within(11, 23)
        && within(14, 59)
        && within(17, 59)
}

/// Of a month from 1; 0 where there is no such month.
fn days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    }
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

#[cfg(test)]
mod moments {
    use super::is_moment;

    #[test]
    fn moments_are_those_of_rfc_3339() {
        for good in [
            "2026-11-22T08:00:00Z",
            "2026-11-22t08:00:00.123456+09:00",
            "2024-02-29T23:59:59.1-00:30",
            "2000-02-29T00:00:00z",
        ] {
            assert!(is_moment(good), "{good}");
        }
        for bad in [
            "",
            "soon",
            "2026-11-22",
            "2026-11-22T08:00:00",
            "2026-11-22 08:00:00Z",
            "2026-13-22T08:00:00Z",
            "2026-00-22T08:00:00Z",
            "2026-02-29T08:00:00Z",
            "1900-02-29T08:00:00Z",
            "2026-11-00T08:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T08:60:00Z",
            "2026-11-22T08:00:60Z",
            "2026-11-22T08:00:00.Z",
            "2026-11-22T08:00:00.1234567890Z",
            "2026-11-22T08:00:00+24:00",
            "2026-11-22T08:00:00+0900",
            "2026-11-22T08:00:00Zz",
            "+026-11-22T08:00:00Z",
            "2026-11-22T08:00:00\u{661}",
        ] {
            assert!(!is_moment(bad), "{bad}");
        }
    }
}
