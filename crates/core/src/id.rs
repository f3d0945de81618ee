//! Names and ids. A value of these types is valid by construction; parsing is where bad names stop.

use crate::clock::Clock;
use crate::entropy::Entropy;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{given}` is not a {kind}: {rule}")]
pub struct BadName {
    /// The text that was given, cut at 80 characters.
    pub given: String,
    /// What it should have been, such as `service name`.
    pub kind: &'static str,
    /// The rule in words.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks `text` and makes the name.
            ///
            /// # Errors
            /// [`BadName`] with the rule that `text` breaks.
            pub fn new(text: &str) -> Result<Self, BadName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else {
                    Err(BadName { given: text.chars().take(80).collect(), kind: $kind, rule: $rule })
                }
            }

            /// The name's text.
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl FromStr for $type {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> { Self::new(text) }
        }
        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> { Self::new(&text) }
        }
        impl From<$type> for String { fn from(name: $type) -> String { name.0.to_string() } }
        impl AsRef<str> for $type { fn as_ref(&self) -> &str { &self.0 } }
        impl std::borrow::Borrow<str> for $type { fn borrow(&self) -> &str { &self.0 } }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(&self.0) }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Debug::fmt(&*self.0, f) }
        }
    };
}

/// True for a DNS label: 1 to 63 of `a-z`, `0-9` and `-`, a letter first, no `-` last.
pub fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes[bytes.len() - 1] != b'-'
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

name!(
    /// A service, such as `orders`; in variables `ORDERS`. The built-in caller is `ondol`, the built-in target `controller`.
    ServiceName, "service name", "1 to 63 of a-z, 0-9 and -, a letter first, no - last", is_dns_label
);
name!(
    /// A system, such as `shop`; to other systems its trust domain.
    SystemName, "system name", "1 to 63 of a-z, 0-9 and -, a letter first, no - last", is_dns_label
);
name!(
    /// Where something runs, such as `seoul-a`: what fails together. As the label `topology.kubernetes.io/zone`.
    ZoneName, "zone name", "1 to 63 of letters, digits, -, _ and ., a letter or digit first and last",
    |text| (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.ends_with(|c: char| c.is_ascii_alphanumeric())
);
name!(
    /// A saga definition, such as `place-order`.
    SagaName, "saga name", "1 to 63 of a-z, 0-9 and -, a letter first, no - last", is_dns_label
);
name!(
    /// A saga's step, such as `pay`.
    StepName, "step name", "1 to 63 of a-z, 0-9, - and _, a letter first",
    |text| (1..=63).contains(&text.len()) && text.as_bytes()[0].is_ascii_lowercase()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
);
name!(
    /// A route, unique in the system; made as `SERVICE-N` where the manifest names none.
    RouteName, "route name", "1 to 127 of a-z, 0-9, - and ., a letter first",
    |text| (1..=127).contains(&text.len()) && text.as_bytes()[0].is_ascii_lowercase()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
);
name!(
    /// An event stream, such as `order-0192…`; its family is the part before the first `-`.
    StreamName, "stream name", "1 to 200 of letters, digits, -, _ and ., a letter first",
    |text| (1..=200).contains(&text.len()) && text.as_bytes()[0].is_ascii_alphabetic()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
);

impl ServiceName {
    /// The built-in caller of sagas, pushes and key fetches.
    pub fn ondol() -> Self {
        Self("ondol".into())
    }

    /// The built-in target: the controller's service API.
    pub fn controller() -> Self {
        Self("controller".into())
    }

    /// The gateway itself: what requests that reach no route are counted under. No service can have this name.
    pub fn gateway() -> Self {
        Self("gateway".into())
    }

    /// The name as variables spell it: upper case, `_` for `-`.
    pub fn in_variables(&self) -> String {
        self.as_str().to_ascii_uppercase().replace('-', "_")
    }
}

impl StreamName {
    /// The part before the first `-`: what `streams:` in a manifest names.
    pub fn family(&self) -> &str {
        self.as_str().split('-').next().unwrap_or_default()
    }
}

/// One running copy of a service, written `orders.1`. The number and its port stay when it restarts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId {
    /// Of which service.
    pub service: ServiceName,
    /// From 1.
    pub number: u32,
}

impl FromStr for InstanceId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName {
            given: text.chars().take(80).collect(),
            kind: "instance",
            rule: "SERVICE.NUMBER",
        };
        let (service, number) = text.rsplit_once('.').ok_or_else(bad)?;
        Ok(Self {
            service: service.parse()?,
            number: number.parse().map_err(|_| bad())?,
        })
    }
}

impl TryFrom<String> for InstanceId {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.number)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A saga: a UUIDv7 made at its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SagaId(pub uuid::Uuid);

impl SagaId {
    /// A new id from a clock and a source of randomness.
    pub fn make(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        Self(uuid_v7(clock, entropy))
    }
}

impl FromStr for SagaId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName {
            given: text.chars().take(80).collect(),
            kind: "saga id",
            rule: "a UUID",
        };
        text.parse().map(Self).map_err(|_| bad())
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A UUIDv7: milliseconds first, random after. Order of events never rests on it.
pub fn uuid_v7(clock: &dyn Clock, entropy: &dyn Entropy) -> uuid::Uuid {
    let random = entropy.bytes16();
    let millis = u64::try_from(clock.wall().0).unwrap_or(0);
    let mut tail = [0; 10];
    tail.copy_from_slice(&random[..10]);
    uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
}

/// One life of the supervisor, written `<id kept in .ondol>:<random per boot>`; `ONDOL_BOOT` in every child.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct BootId {
    /// The system's own id, kept in `.ondol/id`.
    pub system: String,
    /// New at each start of a supervisor.
    pub boot: String,
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.system, self.boot)
    }
}

impl FromStr for BootId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName {
            given: text.chars().take(80).collect(),
            kind: "boot id",
            rule: "SYSTEM:BOOT",
        };
        let (system, boot) = text.split_once(':').ok_or_else(bad)?;
        Ok(Self {
            system: system.into(),
            boot: boot.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_names_are_dns_labels() {
        for good in ["a", "orders", "bank-north", "a1"] {
            assert!(ServiceName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "1a", "a_b", "a.b", &"a".repeat(64), "주문"] {
            assert!(ServiceName::new(bad).is_err(), "{bad}");
        }
        assert_eq!(
            ServiceName::new("bank-north").expect("valid").in_variables(),
            "BANK_NORTH"
        );
    }

    #[test]
    fn instances_read_back_as_written() {
        let id: InstanceId = "bank-north.12".parse().expect("valid");
        assert_eq!(
            (id.service.as_str(), id.number, id.to_string()),
            ("bank-north", 12, "bank-north.12".into())
        );
        assert!("orders".parse::<InstanceId>().is_err());
        assert!("orders.x".parse::<InstanceId>().is_err());
    }

    #[test]
    fn saga_ids_are_version_7() {
        let id = SagaId::make(&crate::clock::SystemClock, &crate::entropy::SystemEntropy);
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.to_string().parse::<SagaId>(), Ok(id));
    }
}
