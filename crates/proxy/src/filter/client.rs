//! Who is at the other end: `X-Forwarded-*` is believed from trusted proxies only and set anew for the service.
//!
//! The chain of addresses is walked from the right, the peer first, through trusted ones; the first that is not
//! trusted is the client. A chain that ends or is broken before that ends at its last good address, so what a client
//! writes to the left of itself is never believed. Decision table: `conformance/gateway/forwarded.json`.

use crate::digits::push_address;
use crate::message::{Fields, RequestHead, list_items};
use ondol_core::error::ErrorCode;
use smallvec::SmallVec;
use std::net::IpAddr;

/// `10.0.0.0/8`, `fd00::/8` or one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cidr {
    network: IpAddr,
    bits: u32,
}

/// A text that is no network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("trusted_proxies: `{0}` is not a network such as 10.0.0.0/8")]
pub struct BadCidr(pub String);

impl BadCidr {
    /// Stable code.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::new("GW-059")
    }
}

impl Cidr {
    fn parse(text: &str) -> Result<Self, BadCidr> {
        let bad = || BadCidr(text.to_owned());
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let network: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if network.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| bad()))?;
        if bits > most {
            Err(bad())
        } else {
            Ok(Self { network, bits })
        }
    }

    fn contains(self, address: IpAddr) -> bool {
        let differ = match (self.network, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
            (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
            _ => return false,
        };
        differ.leading_zeros() >= self.bits
    }
}

/// Proxies in front of the gateway whose word counts.
#[derive(Clone, Debug, Default)]
pub struct Trusted(Vec<Cidr>);

impl Trusted {
    /// From a snapshot's `trusted_proxies`.
    ///
    /// # Errors
    /// [`BadCidr`] for the first text that is no network.
    pub fn parse(texts: &[String]) -> Result<Self, BadCidr> {
        texts
            .iter()
            .map(|text| Cidr::parse(text))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether this address is a trusted proxy's.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|cidr| cidr.contains(address))
    }

    /// Finds the client of a request from `peer`, and sets `X-Forwarded-For`, `-Proto` and `-Host` for the service.
    /// `scheme` is what the client spoke here.
    pub fn resolve(&self, head: &mut RequestHead, peer: IpAddr, scheme: &str) -> IpAddr {
        let peer = peer.to_canonical();
        let believed = self.contains(peer);
        let mut chain: SmallVec<[IpAddr; 4]> = SmallVec::from_slice(&[peer]);
        if believed {
            self.walk(head, &mut chain);
        }
        let sent = |name: &str| head.fields.get_str(name).filter(|_| believed).map(str::to_owned);
        let proto = sent("x-forwarded-proto").filter(|proto| matches!(proto.as_str(), "http" | "https"));
        let host = sent("x-forwarded-host").filter(|host| crate::check::authority(host.as_bytes()).is_ok());
        forget_claims(&mut head.fields);
        head.fields.push_with("x-forwarded-for", |text| {
            for (at, address) in chain.iter().rev().enumerate() {
                if at > 0 {
                    text.extend_from_slice(b", ");
                }
                push_address(*address, text);
            }
        });
        head.fields
            .push("x-forwarded-proto", proto.as_deref().unwrap_or(scheme));
        match host {
            Some(host) => head.fields.push("x-forwarded-host", host),
            None => head.push_authority("x-forwarded-host"),
        }
        chain.last().copied().unwrap_or(peer)
    }

    /// Extends `chain`, which begins at the peer, as far as it can be believed.
    fn walk(&self, head: &RequestHead, chain: &mut SmallVec<[IpAddr; 4]>) {
        let items: Vec<&[u8]> = head.fields.all("x-forwarded-for").flat_map(list_items).collect();
        for item in items.into_iter().rev() {
            let Some(address) = parse_address(item) else { return };
            chain.push(address);
            if !self.contains(address) {
                return;
            }
        }
    }
}

/// An address, with or without a port or brackets.
fn parse_address(item: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(item).ok()?.trim_matches('"');
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            rest.split_once(']')
                .filter(|(_, port)| port.is_empty() || port.starts_with(':'))?
                .0
        }
        None => match text.split_once(':') {
            Some((v4, port)) if !port.contains(':') => v4,
            _ => text,
        },
    };
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Takes away what a sender says of where its request comes from and went.
pub(crate) fn forget_claims(fields: &mut Fields) {
    if fields.may_begin("x-") || fields.may_have("forwarded") {
        fields.retain(|name, _| !is_claim(name));
    }
}

/// Fields by which somebody in front says where a request came from, or what it really asks for.
fn is_claim(name: &[u8]) -> bool {
    name.starts_with(b"x-forwarded-")
        || matches!(
            name,
            b"forwarded" | b"x-real-ip" | b"x-original-url" | b"x-original-host" | b"x-rewrite-url"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use serde_json::Value;

    #[test]
    fn every_case_of_the_data_finds_its_client() {
        let data = include_str!("../../../../conformance/gateway/forwarded.json");
        let data: Value = serde_json::from_str(data).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        for case in data["cases"].as_array().expect("cases") {
            let trusted: Vec<String> = case["trusted"].as_array().expect("trusted").iter().map(text).collect();
            let trusted = Trusted::parse(&trusted).expect("networks");
            let mut head = RequestHead::new(Method::GET, "shop.example", "/").expect("valid");
            for field in case["sent"].as_array().expect("sent") {
                head.fields
                    .push_bytes(text(&field[0]).as_bytes(), text(&field[1]).as_bytes());
            }
            let scheme = case["scheme"].as_str().unwrap_or("http");
            let client = trusted.resolve(&mut head, text(&case["peer"]).parse().expect("an address"), scheme);
            assert_eq!(client.to_string(), text(&case["client"]), "{}", case["case"]);
            let expected = case["forwarded"].as_object().expect("forwarded");
            for (name, value) in expected {
                assert_eq!(head.fields.get_str(name), value.as_str(), "{}: {name}", case["case"]);
            }
            let claims = head.fields.iter_bytes().filter(|(name, _)| is_claim(name)).count();
            assert_eq!(claims, expected.len(), "{}: {:?}", case["case"], head.fields);
        }
    }

    #[test]
    fn texts_that_are_no_network_are_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "shop.example",
            "10.0.0.0/",
            "10.0.0.0/-1",
        ] {
            assert_eq!(
                Trusted::parse(&[text.to_owned()]).expect_err(text),
                BadCidr(text.to_owned())
            );
        }
    }
}
