//! Joins what is declared with what runs. Pure: facts in, snapshots out.
//!
//! Invariants
//! - Only an instance that the supervisor calls ready is an endpoint.
//! - A drained instance stays an endpoint, marked, until it is gone, so that its running requests end.
//! - The generation rises with every change and never falls, also when the controller starts anew within a boot: it is
//!   at least the wall time in milliseconds of the registry's making.
//!
//! Not here: active health (the proxy asks the instances itself).

use crate::declared::{Declared, Elsewhere};
use ondol_core::clock::Timestamp;
use ondol_core::id::{BootId, InstanceId, ServiceName};
use ondol_core::wire::proxy::{Cluster, Endpoint, Snapshot};
use ondol_core::wire::supervision::{Facts, Phase};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The controller's socket for the built-in target, a file name in `.ondol/run/`.
pub const CONTROLLER_SOCKET: &str = "api.sock";

/// Who is where.
#[derive(Debug)]
pub struct Registry {
    declared: Declared,
    boot: BootId,
    generation: u64,
    ready: Vec<(InstanceId, u64, u16)>,
    draining: BTreeSet<InstanceId>,
    last: Option<Snapshot>,
}

impl Registry {
    /// An empty registry; `now` is the floor of its generations.
    pub fn new(boot: BootId, now: Timestamp) -> Self {
        Self {
            declared: Declared::default(),
            boot,
            generation: u64::try_from(now.0).unwrap_or(0),
            ready: Vec::new(),
            draining: BTreeSet::new(),
            last: None,
        }
    }

    /// Takes over what the manifests say now.
    pub fn declare(&mut self, declared: Declared) {
        self.declared = declared;
    }

    /// Takes over what the supervisor sees now.
    pub fn observe(&mut self, facts: &Facts) {
        self.ready = facts
            .instances
            .iter()
            .filter(|fact| fact.phase == Phase::Ready && fact.port != 0)
            .map(|fact| (fact.id.clone(), fact.start, fact.port))
            .collect();
        let ready = &self.ready;
        self.draining.retain(|id| ready.iter().any(|(known, ..)| known == id));
    }

    /// Which instances get no new requests.
    pub fn drain(&mut self, draining: BTreeSet<InstanceId>) {
        self.draining = draining;
    }

    /// Raises the floor of generations: a proxy may serve by a newer one than this clock would give, when the clock was
    /// set back between two controllers. Then the last snapshot is given once more, under a new number.
    pub fn at_least(&mut self, generation: u64) {
        if self.generation < generation {
            self.generation = generation;
            self.last = None;
        }
    }

    /// A snapshot, if anything changed since the last one.
    pub fn changed(&mut self) -> Option<Snapshot> {
        let mut snapshot = self.assemble();
        if let Some(last) = &self.last {
            snapshot.generation = last.generation;
            if snapshot == *last {
                return None;
            }
        }
        self.generation += 1;
        snapshot.generation = self.generation;
        self.last = Some(snapshot.clone());
        Some(snapshot)
    }

    fn assemble(&self) -> Snapshot {
        let clusters = self.declared.services.iter().map(|declared| Cluster {
            service: declared.service.clone(),
            protocol: declared.protocol,
            endpoints: match &declared.elsewhere {
                Some(elsewhere) => proxies(&declared.service, elsewhere),
                None => self.endpoints(&declared.service),
            },
            health: declared.health.clone(),
            unavailable: declared.unavailable.clone(),
            concurrency: declared.concurrency,
            peer: declared.elsewhere.as_ref().map(|elsewhere| elsewhere.system.clone()),
        });
        Snapshot {
            boot: self.boot.clone(),
            generation: self.generation,
            gateways: self.declared.gateways.clone(),
            routes: self.declared.routes.clone(),
            edges: self.declared.edges.clone(),
            clusters: clusters.collect(),
            issuers: self.declared.issuers.clone(),
            trusted_proxies: self.declared.trusted_proxies.clone(),
            controller_socket: CONTROLLER_SOCKET.into(),
            mesh: self.declared.mesh.clone(),
        }
    }

    fn endpoints(&self, service: &ServiceName) -> Vec<Endpoint> {
        let of_it = self.ready.iter().filter(|(id, ..)| &id.service == service);
        of_it
            .map(|(id, start, port)| Endpoint {
                instance: id.clone(),
                start: *start,
                address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), *port),
                draining: self.draining.contains(id),
                zone: None,
            })
            .collect()
    }
}

/// The proxies of another system stand for the service's instances. Whether they are well, calls tell.
fn proxies(service: &ServiceName, elsewhere: &Elsewhere) -> Vec<Endpoint> {
    let all = (1_u32..).zip(&elsewhere.addresses);
    all.map(|(number, (address, zone))| Endpoint {
        instance: InstanceId {
            service: service.clone(),
            number,
        },
        start: 1,
        address: *address,
        draining: false,
        zone: zone.clone(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declared::DeclaredService;
    use ondol_core::wire::proxy::Protocol;
    use ondol_core::wire::supervision::{Containment, InstanceFact};

    fn boot() -> BootId {
        BootId {
            system: "s".into(),
            boot: "b".into(),
        }
    }

    fn fact(id: &str, phase: Phase) -> InstanceFact {
        InstanceFact {
            id: id.parse().expect("valid"),
            phase,
            pid: Some(1),
            port: 20_001,
            release: String::new(),
            start: 7,
            since: Timestamp(0),
            started_at: None,
            restarts: 0,
            last_exit: None,
            reason: None,
            until: None,
            containment: Containment::Group,
        }
    }

    fn facts(instances: Vec<InstanceFact>) -> Facts {
        Facts {
            boot: boot(),
            version: 0,
            pid: 1,
            roles: vec![],
            instances,
            jobs: vec![],
            stopping: false,
        }
    }

    fn registry() -> Registry {
        let mut registry = Registry::new(boot(), Timestamp(1_000));
        let service = "orders".parse().expect("valid");
        let declared = DeclaredService {
            service,
            protocol: Protocol::Http1,
            health: None,
            unavailable: None,
            concurrency: Default::default(),
            elsewhere: None,
        };
        registry.declare(Declared {
            services: vec![declared],
            ..Declared::default()
        });
        registry
    }

    #[test]
    fn only_ready_instances_are_endpoints() {
        let mut registry = registry();
        registry.observe(&facts(vec![
            fact("orders.1", Phase::Ready),
            fact("orders.2", Phase::Starting),
        ]));
        let snapshot = registry.changed().expect("first");
        let ids: Vec<_> = snapshot.clusters[0]
            .endpoints
            .iter()
            .map(|e| e.instance.to_string())
            .collect();
        assert_eq!(ids, ["orders.1"]);
    }

    #[test]
    fn the_same_facts_make_no_new_generation_and_a_change_raises_it() {
        let mut registry = registry();
        registry.observe(&facts(vec![fact("orders.1", Phase::Ready)]));
        let first = registry.changed().expect("first").generation;
        registry.observe(&facts(vec![fact("orders.1", Phase::Ready)]));
        assert!(registry.changed().is_none());
        registry.drain(BTreeSet::from(["orders.1".parse().expect("valid")]));
        let second = registry.changed().expect("drained");
        assert!(second.generation > first && first > 1_000);
        assert!(second.clusters[0].endpoints[0].draining);
    }

    #[test]
    fn a_proxy_that_serves_by_a_newer_generation_gets_a_newer_one_still() {
        let mut registry = registry();
        let first = registry.changed().expect("first").generation;
        registry.at_least(first);
        assert!(registry.changed().is_none(), "nothing newer is served");
        registry.at_least(first + 1_000);
        assert!(registry.changed().expect("again").generation > first + 1_000);
    }

    #[test]
    fn a_drained_instance_that_died_comes_back_undrained() {
        let mut registry = registry();
        registry.observe(&facts(vec![fact("orders.1", Phase::Ready)]));
        registry.drain(BTreeSet::from(["orders.1".parse().expect("valid")]));
        registry.observe(&facts(vec![fact("orders.1", Phase::BackingOff)]));
        registry.observe(&facts(vec![fact("orders.1", Phase::Ready)]));
        assert!(!registry.changed().expect("changed").clusters[0].endpoints[0].draining);
    }
}
