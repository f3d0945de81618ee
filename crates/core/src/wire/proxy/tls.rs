//! TLS at the gateway's listeners: what is declared goes down, what came of it comes up.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// TLS at a listener. Certificates and keys are named, never carried: the proxy reads the files, and reads them again
/// when they change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// At least one. A client that names no server, or one that none of them is for, gets the first.
    pub certificates: Vec<CertificateFiles>,
    /// `None`: clients are not asked for certificates.
    pub client: Option<ClientCertificates>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// A certificate with its key: PEM files, by absolute path.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What is asked of clients.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificates {
    /// A PEM file with the authorities that are believed.
    pub ca: PathBuf,
    /// Whether a client without a certificate is turned away. One with a wrong certificate always is.
    pub require: bool,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum TlsVersion {
    /// 1.2, RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// 1.3, RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

/// TLS at one listener.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsReport {
    /// The listener's name.
    pub listener: String,
    /// Handshakes by outcome: `full`, `resumed`, or why there was none.
    pub handshakes: BTreeMap<String, u64>,
    /// What it serves with, and what of it is wrong.
    pub certificates: Vec<CertificateReport>,
}

/// One file with certificates.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateReport {
    /// The file that the manifest names.
    pub file: String,
    /// When what is served ends; `None`: there is none that can be served, or the file has authorities.
    pub not_after: Option<Timestamp>,
    /// What is wrong now; the last good one is served on.
    pub problem: Option<String>,
}
