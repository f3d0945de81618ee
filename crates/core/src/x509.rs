//! When a certificate holds: the one thing of X.509 that `webpki` keeps to itself. Two dozen lines instead of a dozen crates.
//!
//! Source: RFC 5280, section 4.1; X.690 for the elements. Not here: names, keys and signatures.

use crate::clock::Timestamp;

/// From when to when a certificate holds (RFC 5280, section 4.1); `None`: it is not one.
pub fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let ((_, certificate), _) = element(certificate)?;
    let ((_, mut fields), _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.1;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields)?.1;
    }
    let ((tag, dates), _) = element(fields)?;
    let (from, dates) = element(dates)?;
    let (until, _) = element(dates)?;
    (tag == SEQUENCE).then_some(())?;
    Some((time(from)?, time(until)?))
}

/// A tag of DER, and what is in it.
type Element<'d> = (u8, &'d [u8]);

/// The first element, and what is behind it.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let [tag, length, rest @ ..] = bytes else { return None };
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some(((*tag, content), behind))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, by its tag.
fn time((tag, text): Element<'_>) -> Option<Timestamp> {
    const UTC: u8 = 0x17;
    const GENERALIZED: u8 = 0x18;
    let text = std::str::from_utf8(text).ok()?;
    let long = match tag {
        UTC if text.get(..2)? < "50" => format!("20{text}"),
        UTC => format!("19{text}"),
        GENERALIZED => text.to_owned(),
        _ => return None,
    };
    let part = |range: std::ops::Range<usize>| long.get(range);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(8..10)?, part(10..12)?, part(12..14)?);
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}.000Z");
    (long.get(14..) == Some("Z")).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_walk_to_the_dates(bytes in proptest::collection::vec(0_u8..=255, 0..64)) {
            validity(&bytes);
        }
    }
}
