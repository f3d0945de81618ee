//! The declared half of the proxy's snapshot, from the plan. Pure.

use crate::config::SystemPlan;
use crate::sockets::{edge_socket, gateway_socket};
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::{Edge, Gateway, Policy};
use ondol_discovery::Declared;
use ondol_discovery::declared::DeclaredService;
use std::sync::Arc;

/// Listeners, routes, edges and targets of the whole system.
pub fn declared(plan: &SystemPlan) -> Declared {
    let edge = |caller: &ServiceName, target: &ServiceName, policy: &Policy| Edge {
        caller: caller.clone(),
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
    let services = plan.services.iter().map(|service| DeclaredService {
        service: service.service.clone(),
        protocol: service.protocol,
        health: service.health.clone(),
        unavailable: service.skipped.as_ref().map(|why| format!("skipped: {why}")),
        concurrency: service.concurrency,
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
        services: services.collect(),
        issuers: plan.issuers.clone(),
        trusted_proxies: plan.trusted_proxies.clone(),
    }
}
