//! The declared half of the proxy's snapshot, from the plan. Pure.

use crate::config::{MeshPlan, PeerPlan, ServicePlan, SystemPlan};
use crate::identities::identities;
use crate::sockets::{edge_socket, gateway_socket, mesh_socket};
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::{Concurrency, Edge, Gateway, Mesh, Peer, Policy};
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
    edges.extend(plan.services.iter().flat_map(visits));
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
    let gateways = plan.gateways.iter().map(|(name, _)| Gateway {
        name: name.clone(),
        socket: gateway_socket(name),
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

/// Edges of callers of other systems.
fn visits(service: &ServicePlan) -> impl Iterator<Item = Edge> {
    let policy = service.caller_policy.iter();
    policy.flat_map(|policy| {
        service.callers.iter().map(|caller| Edge {
            caller: caller.service.clone(),
            peer: Some(caller.system.clone()),
            target: service.service.clone(),
            socket: mesh_socket(),
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
        socket: mesh.bind.as_ref().map(|_| mesh_socket()),
        identities: identities(plan).collect(),
        peers: mesh.peers.iter().map(peer).collect(),
    }
}
