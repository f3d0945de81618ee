//! By what a request's instance is chosen: the way of its policy, and where that is by a key, the key's hash.
//!
//! After `hash_policy` of Envoy. A request without the value, or with an empty one, has no key: it goes by latency, like one
//! without a policy. Else all of those would be one key, and drown one instance.

use crate::cluster::By;
use crate::filter::session;
use crate::message::RequestHead;
use crate::route::condition;
use ondol_core::wire::proxy::{Balance, HashBy};
use ondol_resilience::hashing::hash_of;
use std::net::IpAddr;

/// As the policy has it, for this request after the route's filters and before its rewrite. `client`: its address, where that means something.
pub fn by(balance: &Balance, head: &RequestHead, client: Option<IpAddr>) -> By {
    let keyed = |hash: &HashBy, by: fn(u64) -> By| key(hash, head, client).map_or(By::PeakEwma, by);
    match balance {
        Balance::PeakEwma => By::PeakEwma,
        Balance::LeastRequest => By::LeastRequest,
        Balance::RoundRobin => By::RoundRobin,
        Balance::RingHash(hash) => keyed(hash, By::Ring),
        Balance::Maglev(hash) => keyed(hash, By::Maglev),
    }
}

fn key(hash: &HashBy, head: &RequestHead, client: Option<IpAddr>) -> Option<u64> {
    let text = |text: &str| (!text.is_empty()).then(|| hash_of(text.as_bytes()));
    match hash {
        HashBy::Header(name) => text(&condition::header(head, name)?),
        HashBy::Cookie(name) => text(session::cookie(&head.fields, name)?),
        HashBy::Query(name) => text(&condition::parameter(head.query(), name)?),
        HashBy::Path => text(head.path()),
        HashBy::SourceIp => match client?.to_canonical() {
            IpAddr::V4(address) => Some(hash_of(&address.octets())),
            IpAddr::V6(address) => Some(hash_of(&address.octets())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn request(target: &str, fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new(Method::GET, "shop.example", target).expect("a request");
        fields.iter().for_each(|(name, value)| head.fields.push(name, value));
        head
    }

    fn of(hash: HashBy, head: &RequestHead) -> By {
        by(&Balance::Maglev(hash), head, Some([10, 0, 0, 7].into()))
    }

    #[test]
    fn a_key_is_the_value_and_nothing_else_of_the_request() {
        let head = request(
            "/carts/7?user=a%2Bb&x=1",
            &[("x-user", "42"), ("cookie", "a=b; sid=42")],
        );
        assert_eq!(of(HashBy::Header("x-user".into()), &head), By::Maglev(hash_of(b"42")));
        assert_eq!(of(HashBy::Cookie("sid".into()), &head), By::Maglev(hash_of(b"42")));
        assert_eq!(of(HashBy::Query("user".into()), &head), By::Maglev(hash_of(b"a+b")));
        assert_eq!(of(HashBy::Path, &head), By::Maglev(hash_of(b"/carts/7")));
        assert_eq!(of(HashBy::SourceIp, &head), By::Maglev(hash_of(&[10, 0, 0, 7])));
        let mapped = Some("::ffff:10.0.0.7".parse().expect("an address"));
        let ring = Balance::RingHash(HashBy::SourceIp);
        assert_eq!(by(&ring, &head, mapped), By::Ring(hash_of(&[10, 0, 0, 7])));
    }

    #[test]
    fn a_request_without_the_value_goes_by_latency() {
        let head = request("/?user=", &[("x-user", ""), ("cookie", "sid=")]);
        for hash in [
            HashBy::Header("x-user".into()),
            HashBy::Header("x-other".into()),
            HashBy::Cookie("sid".into()),
            HashBy::Query("user".into()),
            HashBy::Query("x".into()),
        ] {
            assert_eq!(of(hash.clone(), &head), By::PeakEwma, "{hash:?}");
        }
        assert_eq!(by(&Balance::Maglev(HashBy::SourceIp), &head, None), By::PeakEwma);
    }
}
