//! What requests and answers say of keeping: `Cache-Control`, `Expires`, `Age`, `Vary` and the rest, read strictly.
//!
//! What cannot be read is read as what keeps less: a number that is none is zero, of two the smaller one counts, and a quoted
//! text without an end hides nothing.

use crate::message::{Fields, RequestHead, ResponseHead, list_items};
use crate::tls::identity;
use ondol_core::clock::Timestamp;
use ondol_core::http_date;
use ondol_resilience::cache::slot::Wish;
use ondol_resilience::cache::{Asker, Said, initial_age};
use std::time::Duration;

/// By whom a request is made, as services are told; a route's or an edge's caller stands in its name.
pub(super) const CONSUMER: [&str; 5] = [
    "ondol-issuer",
    "ondol-subject",
    "ondol-scope",
    "ondol-roles",
    identity::FIELD,
];

/// A number beyond this is read as this: RFC 9111, section 1.2.2.
const MOST_SECONDS: u64 = 1 << 31;

/// Calls `each` with the name in lower case and the value of every directive; false: the text is broken.
fn directives(fields: &Fields, mut each: impl FnMut(&str, Option<&[u8]>)) -> bool {
    let mut whole = true;
    for value in fields.all("cache-control") {
        let (mut rest, mut quoted) = (value, false);
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| {
                quoted ^= *byte == b'"';
                *byte == b',' && !quoted
            });
            let (item, next) = match end {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &b""[..]),
            };
            rest = next;
            let (name, value) = match item.iter().position(|byte| *byte == b'=') {
                Some(at) => (&item[..at], Some(item[at + 1..].trim_ascii())),
                None => (item, None),
            };
            let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
            each(&name, value);
        }
        whole &= !quoted;
    }
    whole
}

fn seconds(value: Option<&[u8]>) -> Duration {
    let digits = value.unwrap_or_default();
    let digits = digits
        .strip_prefix(b"\"")
        .and_then(|inner| inner.strip_suffix(b"\""))
        .unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Duration::ZERO;
    }
    let number = digits.iter().fold(0_u64, |sum, digit| {
        (sum * 10 + u64::from(digit - b'0')).min(MOST_SECONDS)
    });
    Duration::from_secs(number)
}

fn smaller(known: &mut Option<Duration>, value: Option<&[u8]>) {
    let told = seconds(value);
    *known = Some(known.map_or(told, |known| known.min(told)));
}

/// What an answer says of itself. `took` is the time from asking to its head, `wall` when it came.
pub(super) fn said(head: &ResponseHead, took: Duration, wall: Timestamp) -> Said {
    let fields = &head.fields;
    let mut said = Said {
        status: head.status.as_u16(),
        sets_cookie: fields.contains("set-cookie"),
        varies_by_all: fields.lists("vary", "*"),
        validated: fields.contains("etag") || fields.contains("last-modified"),
        ..Said::default()
    };
    let whole = directives(fields, |name, value| match name {
        "no-store" => said.no_store = true,
        "no-cache" => said.no_cache = true,
        "private" => said.private = true,
        "public" => said.public = true,
        "must-revalidate" | "proxy-revalidate" => said.must_revalidate = true,
        "max-age" => smaller(&mut said.max_age, value),
        "s-maxage" => smaller(&mut said.s_maxage, value),
        "stale-while-revalidate" => smaller(&mut said.while_revalidating, value),
        "stale-if-error" => smaller(&mut said.on_error, value),
        _ => {}
    });
    said.no_store |= !whole;
    let date = fields.get_str("date").and_then(|text| http_date::parse(text, wall));
    let since_date = date.map_or(Duration::ZERO, |date| wall.since(date));
    said.expires = fields.get("expires").map(|text| {
        let text = std::str::from_utf8(text).unwrap_or_default();
        http_date::parse(text, wall).map_or(Duration::ZERO, |end| end.since(date.unwrap_or(wall)))
    });
    said.age = initial_age(seconds(fields.get("age")), took, since_date);
    said
}

/// What a request says of kept answers; `None`: that neither it nor its answer be kept.
pub(super) fn wish(fields: &Fields) -> Option<Wish> {
    let (mut wish, mut no_store) = (Wish::default(), false);
    let whole = directives(fields, |name, value| match name {
        "no-store" => no_store = true,
        "no-cache" => wish.no_cache = true,
        "max-age" => smaller(&mut wish.max_age, value),
        "min-fresh" => smaller(&mut wish.min_fresh, value),
        "only-if-cached" => wish.only_if_cached = true,
        _ => {}
    });
    (whole && !no_store).then_some(wish)
}

/// By whom it is asked, before anything is added for the service.
pub(super) fn asker(head: &RequestHead) -> Asker {
    Asker {
        known: CONSUMER.iter().any(|name| head.fields.contains(name)),
        credentials: head.fields.contains("authorization") || head.fields.contains("cookie"),
    }
}

/// The fields by which an answer varies, in lower case and in order, each once.
pub(super) fn vary(fields: &Fields) -> Box<[Box<str>]> {
    let items = fields.all("vary").flat_map(list_items);
    let mut names: Vec<Box<str>> = items
        .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase().into_boxed_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_boxed_slice()
}

/// Whether the client has what this answer is, by its `If-None-Match` or, without one, its `If-Modified-Since` (RFC 9110, section 13.2.2).
/// Tags are compared weakly, as section 13.1.2 wants.
pub(super) fn is_known(conditions: &Conditions, fields: &Fields) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    if let Some(wanted) = &conditions.none_match {
        let Some(tag) = fields.get("etag").map(opaque) else {
            return false;
        };
        return wanted
            .split(|byte| *byte == b',')
            .any(|item| item.trim_ascii() == b"*" || opaque(item.trim_ascii()) == tag);
    }
    let modified = fields.get("last-modified");
    conditions.modified_since.is_some() && conditions.modified_since.as_deref() == modified
}

/// What a client has already.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    none_match: Option<Vec<u8>>,
    modified_since: Option<Vec<u8>>,
}

impl Conditions {
    /// Those of a request.
    pub(crate) fn of(fields: &Fields) -> Self {
        let all = |name: &str| {
            let values: Vec<&[u8]> = fields.all(name).collect();
            (!values.is_empty()).then(|| values.join(&b","[..]))
        };
        Self {
            none_match: all("if-none-match"),
            modified_since: fields.get("if-modified-since").map(<[u8]>::to_vec),
        }
    }

    /// Takes them off a request, so that its answer is whole and of use to others.
    pub(crate) fn take(fields: &mut Fields) -> Self {
        let taken = Self::of(fields);
        fields.remove("if-none-match");
        fields.remove("if-modified-since");
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    const WALL: Timestamp = Timestamp(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT

    fn answer(fields: &[(&str, &str)]) -> Said {
        let head = ResponseHead {
            status: StatusCode::OK,
            fields: fields.iter().copied().collect(),
        };
        said(&head, Duration::ZERO, WALL)
    }

    fn secs(count: u64) -> Option<Duration> {
        Some(Duration::from_secs(count))
    }

    #[test]
    fn directives_are_read_in_any_case_and_the_smaller_of_two_counts() {
        let said = answer(&[
            ("cache-control", "Max-Age=20, PUBLIC , x=\"a, no-store\""),
            ("cache-control", "max-age=\"10\", stale-if-error=5"),
        ]);
        assert_eq!(
            (said.max_age, said.public, said.on_error, said.no_store),
            (secs(10), true, secs(5), false)
        );
    }

    #[test]
    fn what_cannot_be_read_keeps_less() {
        for (value, max_age) in [
            ("max-age", 0),
            ("max-age=x", 0),
            ("max-age=-1", 0),
            ("max-age=99999999999999999999", MOST_SECONDS),
        ] {
            assert_eq!(answer(&[("cache-control", value)]).max_age, secs(max_age), "{value}");
        }
        assert!(
            answer(&[("cache-control", "x=\"a, max-age=9")]).no_store,
            "a quoted text without an end"
        );
        assert_eq!(answer(&[("expires", "0")]).expires, secs(0));
    }

    proptest::proptest! {
        /// Whatever else is said, and however broken: what forbids keeping is heard.
        #[test]
        fn nothing_hides_what_forbids(noise in "[a-z=\", -]{0,30}", directive in 0..3_usize, first: bool) {
            let word = ["no-store", "Private", "NO-CACHE=\"x\""][directive];
            let mut values = [("cache-control", noise.as_str()), ("cache-control", word)];
            if first {
                values.reverse();
            }
            let said = answer(&values);
            proptest::prop_assert!([said.no_store, said.private, said.no_cache][directive]);
            let text = format!("{noise}, {word}");
            let said = answer(&[("cache-control", &text)]);
            proptest::prop_assert!(said.no_store || [said.no_store, said.private, said.no_cache][directive]);
        }
    }

    #[test]
    fn dates_give_lifetime_and_age() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:07 GMT");
        let said = answer(&[date, ("expires", "Sun, 06 Nov 1994 08:50:07 GMT"), ("age", "7")]);
        assert_eq!((said.expires, Some(said.age)), (secs(60), secs(30)));
        assert_eq!(Some(answer(&[("age", "7")]).age), secs(7));
    }

    #[test]
    fn requests_say_what_they_take() {
        let wish = |value: &str| wish(&[("cache-control", value)].into_iter().collect());
        assert_eq!(wish("no-store"), None);
        assert_eq!(wish("a=\""), None);
        let told = wish("no-cache, max-age=3, min-fresh=2, only-if-cached").expect("one");
        assert_eq!(
            (told.no_cache, told.only_if_cached, told.max_age, told.min_fresh),
            (true, true, secs(3), secs(2))
        );
    }

    #[test]
    fn a_client_has_what_it_names_by_tag_or_date() {
        let fields: Fields = [("etag", "W/\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]
            .into_iter()
            .collect();
        let known = |sent: &[(&str, &str)]| {
            let mut request: Fields = sent.iter().copied().collect();
            let conditions = Conditions::take(&mut request);
            assert!(request.is_empty());
            is_known(&conditions, &fields)
        };
        assert!(known(&[("if-none-match", "\"b\", \"a\"")]));
        assert!(known(&[("if-none-match", "\"b\""), ("if-none-match", "W/\"a\"")]));
        assert!(known(&[("if-none-match", "*")]));
        assert!(!known(&[
            ("if-none-match", "\"b\""),
            ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")
        ]));
        assert!(known(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")]));
        assert!(!known(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")]));
        assert!(!known(&[]));
    }
}
