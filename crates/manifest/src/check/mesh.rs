//! Other systems: their names, their services among ours, and who of them may call.

use super::names::RESERVED;
use super::{World, twice};
use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::doc::system::{MeshDoc, PeerDoc, SystemDoc};
use crate::source::At;
use ondol_core::id::is_dns_label;

/// Bounds of a certificate's life: shorter ones would end on their way, longer ones are not short-lived.
const LIFETIME_MS: std::ops::RangeInclusive<u64> = 10_000..=30 * 24 * 3_600_000;

/// Services of other systems that are used here by their names.
pub(super) fn services(system: &SystemDoc) -> impl Iterator<Item = &At<String>> {
    let peers = system.mesh.iter().flat_map(|mesh| mesh.peers.iter());
    peers.flat_map(|(_, peer)| peer.services.iter().map(|(name, _)| name))
}

pub(super) fn check(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    let Some(system) = world.system() else { return };
    if let Some(mesh) = &system.mesh {
        if !LIFETIME_MS.contains(&mesh.certificate_lifetime.value.0) {
            let message = "a certificate holds for 10 s to 30 d";
            found.push(Diagnostic::error(Code::Value, mesh.certificate_lifetime.at, message));
        }
        for (name, doc) in mesh.peers.iter() {
            peer(world, system, name, doc, found);
        }
        names(world, system, found);
    }
    callers(world, system.mesh.as_ref(), found);
}

fn peer(world: &World<'_>, system: &SystemDoc, name: &At<String>, doc: &PeerDoc, found: &mut Vec<Diagnostic>) {
    if !is_dns_label(name) {
        let message = format!(
            "`{}` is not a system name: 1 to 63 of a-z, 0-9 and -, a letter first, no - last",
            **name
        );
        found.push(Diagnostic::error(Code::Value, name.at, message));
    } else if name.value == system.system.value {
        let message = format!("`{}` is this system itself", **name);
        found.push(Diagnostic::error(Code::Conflict, name.at, message));
    }
    if let Some(wrong) = super::tls::authorities_of(world, &doc.authorities) {
        let hint = format!(
            "write there what `ondol mesh authority` prints in the folder of {}",
            **name
        );
        found.push(wrong.hint(hint));
    }
    for (index, one) in doc.addresses.iter().enumerate() {
        let address = one.address();
        if address.value.0.ip().is_unspecified() || address.value.0.port() == 0 {
            let message = "nobody can be called at this address";
            found.push(
                Diagnostic::error(Code::Value, address.at, message)
                    .hint("write the IP address and port that its machine has"),
            );
        }
        let earlier = doc.addresses[..index].iter().map(|other| other.address());
        if let Some(first) = earlier.into_iter().find(|other| other.value == address.value) {
            twice("the address", &address.value.0.to_string(), first.at, address.at, found);
        }
        if let (Some(zone), None) = (one.zone(), system.mesh.as_ref().and_then(|mesh| mesh.zone.as_ref())) {
            let message = "nothing says in which zone this system is, so no address is nearer than another";
            found.push(
                Diagnostic::error(Code::Conflict, zone.at, message).hint("add `zone: NAME` to `mesh` in ondol.yaml"),
            );
        }
    }
    if let (Some((first, _)), true) = (doc.services.iter().next(), doc.addresses.is_empty()) {
        let message = format!("nothing says where `{}` can be called", **first);
        found
            .push(Diagnostic::error(Code::Conflict, first.at, message).hint("add `addresses: [IP:PORT]` to this peer"));
    }
}

/// Services of other systems stand among ours: each name once.
fn names(world: &World<'_>, system: &SystemDoc, found: &mut Vec<Diagnostic>) {
    for (index, name) in services(system).enumerate() {
        if !is_dns_label(name) {
            let message = format!(
                "`{}` is not a service name: 1 to 63 of a-z, 0-9 and -, a letter first, no - last",
                **name
            );
            found.push(Diagnostic::error(Code::Value, name.at, message));
        }
        if RESERVED.contains(&name.as_str()) {
            let message = format!("the name `{}` is Ondol's own", **name);
            found.push(Diagnostic::error(Code::Reserved, name.at, message));
        }
        if let Some(own) = world.service(name) {
            twice("the service", name, own.doc.service.at, name.at, found);
        } else if let Some(first) = services(system).take(index).find(|other| other.value == name.value) {
            twice("the service", name, first.at, name.at, found);
        }
    }
}

fn callers(world: &World<'_>, mesh: Option<&MeshDoc>, found: &mut Vec<Diagnostic>) {
    for service in &world.parts.services {
        for (system, names) in service.doc.callers.iter() {
            let peers = || {
                mesh.into_iter()
                    .flat_map(|mesh| mesh.peers.iter().map(|(name, _)| name.as_str()))
            };
            if !peers().any(|peer| peer == system.value) {
                let message = format!("`{}` is no peer of this system", **system);
                let here = Diagnostic::error(Code::UnknownName, system.at, message);
                found.push(
                    here.hint("name it under `mesh: { peers }` in ondol.yaml")
                        .maybe_hint(suggest(system, peers())),
                );
            } else if mesh.is_some_and(|mesh| mesh.bind.is_none()) {
                let message = "nobody comes in: the mesh listens nowhere";
                found.push(
                    Diagnostic::error(Code::Conflict, system.at, message)
                        .hint("add `bind: IP:PORT` to `mesh` in ondol.yaml"),
                );
            }
            if names.is_empty() {
                let message = format!("no service of `{}` is named", **system);
                found.push(
                    Diagnostic::error(Code::Value, system.at, message).hint("name those that may call, as `[orders]`"),
                );
            }
        }
    }
}
