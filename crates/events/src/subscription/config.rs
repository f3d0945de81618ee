//! What a subscription is: whose, of which events, delivered how. Made from `events.subscribes` of a manifest.

use ondol_core::id::{BadName, ServiceName, is_dns_label};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A subscription's whole name, written `SERVICE.NAME`: `points.orders`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubscriptionName {
    /// Who gets the events.
    pub service: ServiceName,
    /// A DNS label, unique in the service.
    pub name: String,
}

impl FromStr for SubscriptionName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let parts = text.split_once('.').filter(|(_, name)| is_dns_label(name));
        let (service, name) = parts.ok_or_else(|| BadName {
            given: text.chars().take(80).collect(),
            kind: "subscription",
            rule: "SERVICE.NAME, both 1 to 63 of a-z, 0-9 and -",
        })?;
        Ok(Self {
            service: service.parse()?,
            name: name.to_owned(),
        })
    }
}

impl TryFrom<String> for SubscriptionName {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<SubscriptionName> for String {
    fn from(name: SubscriptionName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for SubscriptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.service, self.name))
    }
}

/// Where a new subscription begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begin {
    /// With the first event of the log.
    #[default]
    Start,
    /// With the first event after it was declared.
    Now,
}

/// When a key's event is tried again, and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all, the first among them; then the key is parked. Default 8.
    pub attempts: u32,
    /// Longest first pause; later ones double. Default 200 ms.
    pub first: Duration,
    /// Longest pause at all. Default 30 s.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 8,
            first: Duration::from_millis(200),
            cap: Duration::from_secs(30),
        }
    }
}

/// One subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subscription {
    /// Its name.
    pub name: SubscriptionName,
    /// Types of events, exact or with one trailing `*`; at least one must fit.
    pub types: Vec<String>,
    /// The same for sources; none: every source.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Attributes that must be equal, all of them.
    #[serde(default)]
    pub extensions: BTreeMap<String, String>,
    /// Path at the service to which events are pushed; `None`: the service pulls.
    #[serde(default)]
    pub push: Option<String>,
    /// Keys in flight at once, 1 to 256. Default 16.
    pub parallel: u16,
    /// For one attempt. Default 10 s.
    pub timeout: Duration,
    /// After a failure.
    #[serde(default)]
    pub retry: Retry,
    /// Where it begins when it is new.
    #[serde(default)]
    pub from: Begin,
}

impl Subscription {
    /// One with every default, of these types.
    pub fn new(name: SubscriptionName, types: Vec<String>) -> Self {
        Self {
            name,
            types,
            sources: Vec::new(),
            extensions: BTreeMap::new(),
            push: None,
            parallel: 16,
            timeout: Duration::from_secs(10),
            retry: Retry::default(),
            from: Begin::Start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_service_and_a_label() {
        let name: SubscriptionName = "points.orders".parse().expect("valid");
        assert_eq!((name.service.as_str(), name.name.as_str()), ("points", "orders"));
        assert_eq!(name.to_string(), "points.orders");
        for bad in [
            "points",
            "points.",
            ".orders",
            "points.orders.x",
            "Points.orders",
            "points.Orders",
        ] {
            assert!(bad.parse::<SubscriptionName>().is_err(), "{bad}");
        }
    }
}
