//! Kept answers as they are given: with their age, and with a word about where they come from (`Cache-Status`, RFC 9211).

use super::control::{Conditions, is_known};
use super::{Given, Stored};
use crate::exchange::Response;
use crate::message::{Body, Fields, ResponseHead};
use http::StatusCode;
use ondol_core::wire::proxy::CacheResult;
use std::time::Duration;

/// What a 304 says of the answer that the client has: RFC 9110, section 15.4.5.
const NOT_MODIFIED: [&str; 9] = [
    "cache-control",
    "cache-status",
    "content-location",
    "date",
    "etag",
    "expires",
    "last-modified",
    "age",
    "vary",
];
/// What belongs to one exchange and not to the answer. `Age` is told anew.
const OF_ONE_EXCHANGE: [&str; 6] = [
    "age",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-status",
    "set-cookie",
    "x-request-id",
];

/// How a request was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct How {
    pub(crate) result: CacheResult,
    /// Seconds for which what was given is fresh still.
    pub(crate) ttl: Option<i64>,
    /// What the service said.
    pub(crate) status: Option<u16>,
    /// Its answer is kept for others.
    pub(crate) stored: bool,
    /// It went on to the service, or another one that it waited for did.
    pub(crate) forwarded: bool,
}

impl How {
    pub(crate) fn new(result: CacheResult) -> Self {
        Self {
            result,
            ttl: None,
            status: None,
            stored: false,
            forwarded: true,
        }
    }

    /// With a kept answer.
    pub(crate) fn given(result: CacheResult, given: &Given) -> Self {
        Self {
            ttl: Some(given.ttl),
            ..Self::new(result)
        }
    }

    /// The same of a request that was answered without a word to the service, if so.
    pub(crate) fn forwarded(self, forwarded: bool) -> Self {
        Self { forwarded, ..self }
    }

    /// Adds itself as the last cache that the answer has come through.
    pub(crate) fn write(&self, fields: &mut Fields) {
        let mut text = String::from("ondol");
        text.push_str(match self.result {
            CacheResult::Hit | CacheResult::Updating => "; hit",
            CacheResult::Collapsed => "; fwd=miss; collapsed",
            CacheResult::Stale if !self.forwarded => "; hit",
            CacheResult::Stale | CacheResult::Revalidated => "; fwd=stale",
            // `fwd` says that a request went on to the service (RFC 9211, section 2.2).
            CacheResult::Miss | CacheResult::Error | CacheResult::Bypass if !self.forwarded => "",
            CacheResult::Miss | CacheResult::Error => "; fwd=miss",
            CacheResult::Bypass => "; fwd=bypass",
        });
        if let Some(status) = self.status {
            text.push_str(&format!("; fwd-status={status}"));
        }
        if self.stored {
            text.push_str("; stored");
        }
        if let Some(ttl) = self.ttl {
            text.push_str(&format!("; ttl={ttl}"));
        }
        fields.push("cache-status", text);
    }
}

/// The fields of an answer that are kept.
fn kept(fields: &Fields) -> Fields {
    let mut kept = Fields::new();
    for (name, value) in fields.iter() {
        if !OF_ONE_EXCHANGE.contains(&name) && !name.starts_with("ondol-") {
            kept.push(name, value);
        }
    }
    kept
}

impl Stored {
    /// What is kept of an answer with this body.
    pub(crate) fn new(head: &ResponseHead, body: bytes::Bytes) -> Self {
        Self {
            status: head.status,
            fields: kept(&head.fields),
            body,
        }
    }
}

/// A kept answer with what a 304 says of it: RFC 9111, section 3.2.
pub(crate) fn merged(stored: &Stored, confirmed: &ResponseHead) -> ResponseHead {
    let mut fields = stored.fields.clone();
    let another_tag = confirmed.fields.get("etag") != stored.fields.get("etag");
    // A tag of another body, by a service that only looked at its date, must not come to stand over this one.
    let of_the_body = |name: &str| {
        let content = name.starts_with("content-") && !matches!(name, "content-location" | "content-security-policy");
        content || (name == "etag" && another_tag)
    };
    let news = || {
        let told = confirmed.fields.iter();
        told.filter(|(name, _)| !of_the_body(name))
    };
    news().for_each(|(name, _)| {
        fields.remove(name);
    });
    news().for_each(|(name, value)| fields.push(name, value));
    ResponseHead {
        status: stored.status,
        fields,
    }
}

/// A kept answer for a client; no more than 304 where it has it already.
pub(crate) fn respond(stored: &Stored, age: Duration, how: &How, conditions: &Conditions) -> Response<'static> {
    let mut head = ResponseHead {
        status: stored.status,
        fields: stored.fields.clone(),
    };
    head.fields.set("age", age.as_secs().to_string());
    how.write(&mut head.fields);
    let body = Body::Full(stored.body.clone());
    known(
        Response {
            head,
            body,
            tunnel: None,
        },
        conditions,
    )
}

/// An answer for a client; no more than 304 where it has it already.
pub(crate) fn known<'b>(response: Response<'b>, conditions: &Conditions) -> Response<'b> {
    let Response { mut head, body, tunnel } = response;
    if !head.status.is_success() || !is_known(conditions, &head.fields) {
        return Response { head, body, tunnel };
    }
    head.status = StatusCode::NOT_MODIFIED;
    let all = |name: &[u8]| NOT_MODIFIED.iter().any(|kept| kept.as_bytes() == name);
    head.fields.retain(|name, _| all(name));
    Response {
        head,
        body: Body::Empty,
        tunnel: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> ResponseHead {
        ResponseHead {
            status: StatusCode::OK,
            fields: fields.iter().copied().collect(),
        }
    }

    fn pairs(fields: &Fields) -> Vec<(String, String)> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        fields
            .iter()
            .map(|(name, value)| (name.to_owned(), text(value)))
            .collect()
    }

    #[test]
    fn what_belongs_to_one_exchange_is_not_kept() {
        let answer = head(&[
            ("age", "3"),
            ("etag", "\"1\""),
            ("ondol-retried", "1"),
            ("proxy-status", "x"),
            ("x-request-id", "y"),
        ]);
        let stored = Stored::new(&answer, bytes::Bytes::from_static(b"body"));
        assert_eq!(pairs(&stored.fields), [("etag".to_owned(), "\"1\"".to_owned())]);
    }

    #[test]
    fn what_is_confirmed_has_the_new_fields_and_the_old_body() {
        let stored = Stored::new(
            &head(&[
                ("etag", "\"1\""),
                ("cache-control", "max-age=1"),
                ("content-type", "a"),
                ("x", "1"),
                ("x", "2"),
            ]),
            bytes::Bytes::from_static(b"body"),
        );
        let mut told = head(&[("cache-control", "max-age=9"), ("x", "3"), ("content-type", "b")]);
        told.status = StatusCode::NOT_MODIFIED;
        let merged = merged(&stored, &told);
        assert_eq!(merged.status, StatusCode::OK);
        let all = pairs(&merged.fields);
        let all: Vec<_> = all
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            all,
            [
                ("etag", "\"1\""),
                ("content-type", "a"),
                ("cache-control", "max-age=9"),
                ("x", "3")
            ]
        );
    }

    #[test]
    fn each_way_has_its_words() {
        let words = |how: How| {
            let mut fields = Fields::new();
            fields.push("cache-status", "inner; hit");
            how.write(&mut fields);
            let last = fields.all("cache-status").last().expect("one").to_vec();
            String::from_utf8(last).expect("text")
        };
        let hit = How {
            ttl: Some(-3),
            ..How::new(CacheResult::Updating)
        };
        assert_eq!(words(hit), "ondol; hit; ttl=-3");
        let miss = How {
            status: Some(200),
            stored: true,
            ..How::new(CacheResult::Miss)
        };
        assert_eq!(words(miss), "ondol; fwd=miss; fwd-status=200; stored");
        let unasked = |result| words(How::new(result).forwarded(false));
        assert_eq!(unasked(CacheResult::Error), "ondol");
        assert_eq!(unasked(CacheResult::Stale), "ondol; hit");
    }
}
