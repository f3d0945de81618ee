//! Proxies of other systems: which of them are believed, who our services are to them.

use super::{CertificateFiles, SocketName};
use crate::id::{ServiceName, SystemName, ZoneName};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The way between this system and others, over mutual TLS. Certificates and keys are named, never carried: the proxy reads
/// the files, and reads them again when they change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mesh {
    /// This system's trust domain: its name.
    pub domain: SystemName,
    /// Where this system's proxy runs: it prefers endpoints there. `None`: it prefers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneName>,
    /// Where other systems' proxies come in; `None`: they do not.
    pub socket: Option<SocketName>,
    /// A certificate for each service, for the gateway and for `ondol`.
    pub identities: Vec<Identity>,
    /// The other systems.
    pub peers: Vec<Peer>,
}

/// Who a service is to other systems.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Which service.
    pub service: ServiceName,
    /// Its certificate, short-lived, with its SPIFFE ID.
    pub files: CertificateFiles,
}

/// Another system.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its trust domain: its name.
    pub domain: SystemName,
    /// A PEM file with the authorities that are believed when they say who is who in this domain, and in no other.
    pub authorities: PathBuf,
}
