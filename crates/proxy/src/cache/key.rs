//! By what an answer is known: whose it is, of which route or edge, of which target, for whom; and by what it varies.
//!
//! Invariant: each part stands with its length, so no two requests that differ in a part have one key, whatever is in it.

use super::control::{CONSUMER, vary};
use crate::message::{Fields, RequestHead};
use crate::report::Name;
use ondol_core::id::SystemName;
use ondol_resilience::cache::Asker;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// What an answer is kept under, but for what it varies by.
pub(super) type Key = Arc<[u8]>;

/// What decides of the answer beside the target where a gateway stands before the service.
const FORWARDED: [&str; 2] = ["x-forwarded-proto", "x-forwarded-host"];

/// Bytes before the first part.
const FLAGS: usize = 3;

fn part(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    to.extend_from_slice(bytes);
}

/// A field's values as one, and nothing at all where there is none.
fn field(to: &mut Vec<u8>, fields: &Fields, name: &str) {
    to.push(u8::from(fields.contains(name)));
    let start = to.len();
    part(to, b"");
    for value in fields.all(name) {
        to.extend_from_slice(value.trim_ascii());
        to.push(b',');
    }
    let length = (to.len() - start - size_of::<u64>()) as u64;
    to[start..start + size_of::<u64>()].copy_from_slice(&length.to_le_bytes());
}

/// By which fields an answer varies, and what its request had of them.
pub(crate) struct Known {
    pub(super) vary: Box<[Box<str>]>,
    pub(super) values: Box<[u8]>,
}

impl Known {
    /// Of an answer's fields, and of those that it was asked with.
    pub(crate) fn of(answer: &Fields, request: &Fields) -> Self {
        let vary = vary(answer);
        let values = values(&vary, request);
        Self { vary, values }
    }
}

/// The key of a request, as its service gets it. `GET` and `HEAD` have one. Who brings credentials, or says who it is, is not
/// given what was for somebody who does not: the service might have told it more.
/// `system`: in which the target lives, if that is another one; a service that moves is another service.
pub(super) fn of(name: &Name, system: Option<&SystemName>, shared: bool, asker: Asker, head: &RequestHead) -> Key {
    let mut key = Vec::with_capacity(256);
    let flags: [bool; FLAGS] = [shared, asker.known, asker.credentials];
    key.extend(flags.map(u8::from));
    part(
        &mut key,
        name.route.as_ref().map_or("", |route| route.as_str()).as_bytes(),
    );
    part(
        &mut key,
        name.caller.as_ref().map_or("", |caller| caller.as_str()).as_bytes(),
    );
    part(&mut key, name.peer.as_ref().map_or("", |peer| peer.as_str()).as_bytes());
    part(&mut key, system.map_or("", |system| system.as_str()).as_bytes());
    part(&mut key, name.target.as_str().as_bytes());
    part(&mut key, head.authority().as_bytes());
    part(&mut key, head.target().as_bytes());
    FORWARDED.iter().for_each(|name| field(&mut key, &head.fields, name));
    if !shared {
        CONSUMER.iter().for_each(|name| field(&mut key, &head.fields, name));
    }
    key.into()
}

/// The service and the target of a key that [`of`] made.
pub(super) fn about(key: &[u8]) -> Option<(&str, &str)> {
    let mut rest = key.get(FLAGS..)?;
    let mut next = || {
        let (length, after) = rest.split_first_chunk()?;
        let (part, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        rest = after;
        std::str::from_utf8(part).ok()
    };
    // Before them: route, caller, its system, the target's system; between them the authority.
    (0..4).try_for_each(|_| next().map(drop))?;
    let service = next()?;
    next()?;
    Some((service, next()?))
}

/// A request's values of the fields that answers vary by.
pub(super) fn values(vary: &[Box<str>], fields: &Fields) -> Box<[u8]> {
    let mut values = Vec::new();
    for name in vary {
        part(&mut values, name.as_bytes()); // An answer may vary by other fields than the one before.
        field(&mut values, fields, name);
    }
    values.into_boxed_slice()
}

/// A number for what unsafe methods change: a target of a service, whoever asks it and by whichever route.
pub(super) fn place(hasher: &RandomState, name: &Name, head: &RequestHead) -> u64 {
    hasher.hash_one((name.target.as_str(), head.target()))
}

#[cfg(test)]
mod tests {
    use super::super::control::asker;
    use super::*;
    use http::Method;

    fn name(route: Option<&str>, caller: Option<&str>) -> Name {
        Name {
            route: route.map(|route| route.parse().expect("a name")),
            caller: caller.map(|caller| caller.parse().expect("a name")),
            peer: None,
            target: "products".parse().expect("a name"),
        }
    }

    fn head(target: &str, fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new(Method::GET, "shop.example", target).expect("a target");
        head.fields = fields.iter().copied().collect();
        head
    }

    fn of(name: &Name, shared: bool, head: &RequestHead) -> Key {
        super::of(name, None, shared, asker(head), head)
    }

    #[test]
    fn whatever_decides_of_an_answer_is_in_its_key() {
        let route = name(Some("r"), None);
        let all = [
            of(&route, false, &head("/a", &[])),
            of(&name(None, Some("r")), false, &head("/a", &[])),
            of(&route, true, &head("/a", &[])),
            of(&route, false, &head("/a?b", &[])),
            of(&route, false, &head("/a", &[("ondol-subject", "alice")])),
            of(&route, false, &head("/a", &[("ondol-subject", "bob")])),
            of(
                &route,
                false,
                &head("/a", &[("ondol-subject", "alice"), ("ondol-issuer", "x")]),
            ),
            of(
                &route,
                false,
                &head("/a", &[("ondol-subject", "alice"), ("ondol-roles", "admin")]),
            ),
            of(&route, false, &head("/a", &[("ondol-client-identity", "alice")])),
            of(&route, false, &head("/a", &[("x-forwarded-proto", "https")])),
            of(&route, false, &head("/a", &[("cookie", "sid=1")])),
            of(&route, true, &head("/a", &[("ondol-subject", "alice")])),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(about(&all[3]), Some(("products", "/a?b")));
        assert_eq!((about(&all[3][..40]), about(b"")), (None, None));
        let away = "other".parse().expect("a name");
        let moved = super::of(&route, Some(&away), false, asker(&head("/a", &[])), &head("/a", &[]));
        assert!(!all.contains(&moved), "it lives elsewhere");
        let shared = |subject| of(&route, true, &head("/a", &[("ondol-subject", subject)]));
        assert_eq!(shared("alice"), shared("bob"));
        assert_eq!(all[0], of(&route, false, &head("/a", &[("accept", "*/*")])));
    }

    proptest::proptest! {
        /// What is in a part never looks like the next one.
        #[test]
        fn texts_that_differ_never_meet(
            a in proptest::collection::vec("[a,\u{0}]{0,3}", 2), b in proptest::collection::vec("[a,\u{0}]{0,3}", 2),
        ) {
            let known = |texts: &[String]| {
                let fields: Fields = [("x", texts[0].as_str()), ("y", texts[1].as_str())].into_iter().collect();
                values(&["x".into(), "y".into()], &fields)
            };
            proptest::prop_assert_eq!(known(&a) == known(&b), a == b);
        }
    }

    #[test]
    fn a_field_that_is_not_there_is_not_an_empty_one() {
        let vary = ["accept-language".into()];
        let none = values(&vary, &Fields::new());
        let empty = values(&vary, &[("accept-language", "")].into_iter().collect());
        let de = values(&vary, &[("Accept-Language", " de ")].into_iter().collect());
        assert!(none != empty && empty != de);
        assert_eq!(de, values(&vary, &[("accept-language", "de")].into_iter().collect()));
    }
}
