//! The declared half of the proxy's snapshot, from the plan. Pure.

use crate::config::{MeshPlan, PeerPlan, ServicePlan, SystemPlan};
use crate::identities::identities;
use crate::sockets::{edge_socket, gateway_socket, mesh_socket};
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::{Concurrency, Edge, Gateway, Mesh, Peer, Policy};
use ondol_core::wire::supervision::SocketName;
use ondol_discovery::Declared;
use ondol_discovery::declared::{DeclaredService, Elsewhere};
use std::sync::Arc;

/// Listeners, routes, edges and targets of the whole system.
pub fn declared(plan: &SystemPlan) -> Declared {
    let edge = |caller: &ServiceName, target: &ServiceName, policy: &Policy| Edge {
        caller: caller.clone(),
        peer: None,
        target: target.clone(),
        socket: edge_socket(caller, target),
        policy: policy.clone(),
    };
    let (ondol, controller) = (ServiceName::ondol(), ServiceName::controller());
    let mut edges = Vec::new();
    for service in &plan.services {
        edges.push(edge(&ondol, &service.service, &plan.built_in_policy));
        edges.push(edge(&service.service, &controller, &plan.built_in_policy));
        edges.extend(
            service
                .depends_on
                .iter()
                .map(|d| edge(&service.service, &d.service, &d.policy)),
        );
    }
    edges.extend(
        plan.elsewhere()
            .map(|(_, other)| edge(&ondol, &other.service, &plan.built_in_policy)),
    );
    let door = plan.mesh.as_ref().and_then(mesh_socket);
    edges.extend(
        door.iter()
            .flat_map(|door| plan.services.iter().flat_map(|service| visits(service, door))),
    );
    let services = plan.services.iter().map(|service| DeclaredService {
        service: service.service.clone(),
        protocol: service.protocol,
        health: service.health.clone(),
        unavailable: service.skipped.as_ref().map(|why| format!("skipped: {why}")),
        concurrency: service.concurrency,
        elsewhere: None,
    });
    let others = plan.elsewhere().map(|(peer, other)| DeclaredService {
        service: other.service.clone(),
        protocol: other.protocol,
        health: None,
        unavailable: None,
        concurrency: Concurrency::default(),
        elsewhere: Some(Elsewhere {
            system: peer.system.clone(),
            addresses: peer
                .addresses
                .iter()
                .map(|address| (*address, peer.zones.get(address).cloned()))
                .collect(),
        }),
    });
    let gateways = plan.gateways.iter().map(|(name, bind)| Gateway {
        name: name.clone(),
        socket: gateway_socket(name, bind),
        tls: plan.tls.get(name).cloned(),
    });
    Declared {
        gateways: gateways.collect(),
        routes: plan
            .services
            .iter()
            .flat_map(|service| service.routes.iter().cloned().map(Arc::new))
            .collect(),
        edges,
        services: services.chain(others).collect(),
        issuers: plan.issuers.clone(),
        trusted_proxies: plan.trusted_proxies.clone(),
        mesh: plan.mesh.as_ref().map(|mesh| lowered(plan, mesh)),
    }
}

/// Edges of callers of other systems, who come in by this door.
fn visits(service: &ServicePlan, door: &SocketName) -> impl Iterator<Item = Edge> {
    let policy = service.caller_policy.iter();
    policy.flat_map(move |policy| {
        service.callers.iter().map(move |caller| Edge {
            caller: caller.service.clone(),
            peer: Some(caller.system.clone()),
            target: service.service.clone(),
            socket: door.clone(),
            policy: policy.clone(),
        })
    })
}

fn lowered(plan: &SystemPlan, mesh: &MeshPlan) -> Mesh {
    let peer = |peer: &PeerPlan| Peer {
        domain: peer.system.clone(),
        authorities: peer.authorities.clone(),
    };
    Mesh {
        domain: mesh.domain.clone(),
        zone: mesh.zone.clone(),
        socket: mesh_socket(mesh),
        identities: identities(plan).collect(),
        peers: mesh.peers.iter().map(peer).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PeerService;
    use crate::fixtures;
    use ondol_core::clock::Timestamp;
    use ondol_core::id::{BootId, ZoneName};
    use ondol_core::wire::proxy::Protocol;
    use ondol_discovery::Registry;

    #[test]
    fn zones_of_a_peers_addresses_go_through_the_kept_plan_into_the_snapshot() {
        let zone = |text: &str| text.parse::<ZoneName>().expect("a name");
        let [near, far, unsaid] = [1, 2, 3].map(|last| ([10, 0, 0, last], 7_443).into());
        let peer = PeerPlan {
            system: "depot".parse().expect("a name"),
            authorities: "depot.pem".into(),
            addresses: vec![near, far, unsaid],
            zones: [(near, zone("a")), (far, zone("b"))].into(),
            services: vec![PeerService {
                service: "stock".parse().expect("a name"),
                protocol: Protocol::Http1,
            }],
        };
        let mut plan = fixtures::system(vec![]);
        plan.mesh = Some(MeshPlan {
            domain: "shop".parse().expect("a name"),
            zone: Some(zone("a")),
            bind: None,
            certificate_lifetime_ms: 1,
            peers: vec![peer],
        });
        let kept = serde_json::to_string(&plan).expect("JSON");
        let plan: SystemPlan = serde_json::from_str(&kept).expect("the same");
        let boot = BootId {
            system: "s".into(),
            boot: "b".into(),
        };
        let mut registry = Registry::new(boot, Timestamp(0));
        registry.declare(declared(&plan));
        let snapshot = registry.changed().expect("the first");
        assert_eq!(snapshot.mesh.and_then(|mesh| mesh.zone), Some(zone("a")));
        let zones: Vec<_> = snapshot.clusters[0]
            .endpoints
            .iter()
            .map(|one| one.zone.clone())
            .collect();
        assert_eq!(zones, [Some(zone("a")), Some(zone("b")), None]);
    }
}
