//! Who a service is to proxies of other systems: a SPIFFE ID, `spiffe://SYSTEM/service/NAME`.
//!
//! The trust domain is the system's name. The same pair as a server's name in TLS is `NAME.SYSTEM`, which is also how a caller
//! of another system is written for people.
//!
//! Source: the SPIFFE ID standard (spiffe.io), sections 2 and 3; the form of the path is ours.

use crate::id::{ServiceName, SystemName};
use std::fmt;

/// A service of a system.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SpiffeId {
    /// The trust domain: the system's name.
    pub domain: SystemName,
    /// The service.
    pub service: ServiceName,
}

impl SpiffeId {
    /// Of a service in a system.
    pub fn new(domain: SystemName, service: ServiceName) -> Self {
        Self { domain, service }
    }

    /// Reads a URI; `None`: it is not of our form.
    pub fn parse(uri: &str) -> Option<Self> {
        let (domain, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
        let service = path.strip_prefix("service/")?;
        Some(Self::new(domain.parse().ok()?, service.parse().ok()?))
    }

    /// Reads a server's name, `NAME.SYSTEM`; `None`: it is not of our form.
    pub fn of_server(name: &str) -> Option<Self> {
        let (service, domain) = name.split_once('.')?;
        Some(Self::new(domain.parse().ok()?, service.parse().ok()?))
    }

    /// The URI that stands in its certificate.
    pub fn uri(&self) -> String {
        format!("spiffe://{}/service/{}", self.domain, self.service)
    }
}

/// As a server's name: `NAME.SYSTEM`.
impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_both_of_its_forms() {
        let id = SpiffeId::new("shop".parse().expect("a name"), "orders".parse().expect("a name"));
        assert_eq!(
            (&*id.uri(), &*id.to_string()),
            ("spiffe://shop/service/orders", "orders.shop")
        );
        assert_eq!(SpiffeId::parse(&id.uri()).as_ref(), Some(&id));
        assert_eq!(SpiffeId::of_server("orders.shop").as_ref(), Some(&id));
    }

    #[test]
    fn what_is_not_of_our_form_is_nobody() {
        for uri in [
            "",
            "https://shop/service/orders",
            "spiffe://shop",
            "spiffe://shop/",
            "spiffe://shop/service/",
            "spiffe://shop/service/orders/more",
            "spiffe://shop/ns/a/sa/orders",
            "spiffe:///service/orders",
            "spiffe://Shop/service/orders",
            "spiffe://shop:1/service/orders",
            "spiffe://user@shop/service/orders",
            "spiffe://-shop/service/orders",
            "spiffe://shop/service/Orders",
            "spiffe://shop/service/orders?x",
            "SPIFFE://shop/service/orders",
        ] {
            assert_eq!(SpiffeId::parse(uri), None, "{uri}");
        }
        for name in ["", "orders", "orders.", ".shop", "a.b.c", "orders.shop.", "Orders.shop"] {
            assert_eq!(SpiffeId::of_server(name), None, "{name}");
        }
    }
}
