//! `mesh:` of ondol.yaml → its plan.

use crate::doc::system::{PeerDoc, SystemDoc};
use crate::source::{At, join};
use crate::value::Protocol;
use ondol_core::wire::proxy;
use ondol_deploy::config::{MeshPlan, PeerPlan, PeerService};
use std::path::Path;

/// `None`: the system stands alone.
pub(super) fn mesh(root: &Path, system: &SystemDoc) -> Option<MeshPlan> {
    let doc = system.mesh.as_ref()?;
    let peers = doc.peers.iter().filter_map(|(name, doc)| peer(root, name, doc));
    Some(MeshPlan {
        domain: system.system.value.parse().ok()?,
        zone: doc.zone.as_ref().map(|zone| zone.value.clone()),
        bind: doc.bind.map(|bind| bind.value.0.to_string()),
        certificate_lifetime_ms: doc.certificate_lifetime.value.0,
        peers: peers.collect(),
    })
}

/// A name that is none was refused by a check.
fn peer(root: &Path, name: &At<String>, doc: &PeerDoc) -> Option<PeerPlan> {
    let services = doc.services.iter().filter_map(|(name, doc)| {
        let protocol = match doc.protocol.value {
            Protocol::Http1 => proxy::Protocol::Http1,
            Protocol::H2c => proxy::Protocol::H2c,
        };
        Some(PeerService {
            service: name.value.parse().ok()?,
            protocol,
        })
    });
    Some(PeerPlan {
        system: name.value.parse().ok()?,
        authorities: join(root, &doc.authorities.value),
        addresses: doc.addresses.iter().map(|one| one.address().value.0).collect(),
        zones: doc
            .addresses
            .iter()
            .filter_map(|one| Some((one.address().value.0, one.zone()?.value.clone())))
            .collect(),
        services: services.collect(),
    })
}
