//! Other systems: their names, their services among ours, and who of them may call.

use super::names::RESERVED;
use super::{World, twice};
use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::doc::system::{MeshDoc, PeerDoc, SystemDoc};
use crate::source::At;
use ondol_core::clock::{Clock, SystemClock};
use ondol_core::id::is_dns_label;
use ondol_deploy::identities;
use ondol_discovery::authority::Authority;

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
        found.extend(authority(world, system, mesh));
        for (name, doc) in mesh.peers.iter() {
            peer(world, system, name, doc, found);
        }
        names(world, system, found);
    }
    callers(world, system.mesh.as_ref(), found);
}

/// What is to be said of this system's own authority, if it has been made. One that cannot be read is DP-020, told by who makes it.
fn authority(world: &World<'_>, system: &SystemDoc, mesh: &MeshDoc) -> Option<Diagnostic> {
    let (domain, now) = (system.system.value.parse().ok()?, SystemClock.wall());
    let known = Authority::find(&identities::folder(world.root), &domain, now).ok()??;
    let hint = "give peers both; when they have them, `ondol mesh authority --switch`";
    Some(Diagnostic::warning(Code::Dates, mesh.at, known.warning(now)?).hint(hint))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FixedEnv;
    use ondol_core::clock::Timestamp;
    use std::time::Duration;

    #[test]
    fn an_authority_that_ends_soon_is_warned_of_and_one_that_does_not_is_not() {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        let root = tempfile::tempdir().expect("a folder");
        let manifest = "system: shop\nservices: [a]\nmesh: {}\n";
        std::fs::write(root.path().join("ondol.yaml"), manifest).expect("written");
        std::fs::create_dir(root.path().join("a")).expect("made");
        std::fs::write(root.path().join("a/service.yaml"), "service: a\nrun: sh -c true\n").expect("written");
        let env = FixedEnv::default().programs(&[("sh", "1")]);
        let said = || crate::load(root.path(), &env).expect("good").warnings.items;
        assert!(said().iter().all(|item| item.code != Code::Dates), "none has been made");

        let (domain, now) = ("shop".parse().expect("a name"), SystemClock.wall());
        let folder = identities::made_folder(root.path()).expect("made");
        let file = Authority::file(&folder, &domain);
        // They hold for ten years, leap days apart.
        for (left, warned) in [(170, true), (190, false)] {
            let ago = (10 * 365 - left) * DAY;
            let then = Timestamp(now.0 - ago.as_millis() as i64);
            Authority::open(&folder, &domain, then).expect("made");
            let items = said();
            let found = items.iter().find(|item| item.code == Code::Dates);
            assert_eq!(found.is_some(), warned, "{left}");
            assert!(found.is_none_or(|item| item.message.contains("the authority of shop ends on")));
            std::fs::remove_file(&file).expect("removed");
        }
    }
}
