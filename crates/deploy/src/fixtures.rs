//! Small plans for this room's tests.

use crate::config::{ServicePlan, SystemPlan};
use ondol_core::wire::proxy::{Breaker, Policy, Protocol};
use ondol_core::wire::supervision::{Readiness, SocketMode};
use std::collections::BTreeMap;

pub(crate) fn policy() -> Policy {
    let breaker = Breaker {
        failure_ratio: 0.5,
        minimum: 20,
        open_ms: 5_000,
    };
    Policy {
        timeout_ms: 15_000,
        stream: false,
        retries: 2,
        breaker,
        body_limit: 10 << 20,
        priority: Default::default(),
        hedge_share: 0.0,
        balance: Default::default(),
        cache: None,
        fallback: None,
    }
}

pub(crate) fn service(name: &str) -> ServicePlan {
    ServicePlan {
        service: name.parse().expect("valid"),
        folder: "/system".into(),
        build: None,
        inputs: vec![],
        run: vec!["true".into()],
        refers: false,
        dir: "/system".into(),
        env: BTreeMap::new(),
        socket: SocketMode::Port,
        protocol: Protocol::Http1,
        ready: Readiness::Tcp,
        ready_interval_ms: 1_000,
        ready_timeout_ms: 1_000,
        start_within_ms: 30_000,
        health: None,
        concurrency: Default::default(),
        drain_ms: 30_000,
        stop_within_ms: 10_000,
        scale_min: 1,
        scale_max: 4,
        overlap: true,
        database: None,
        depends_on: vec![],
        callers: vec![],
        caller_policy: None,
        routes: vec![],
        streams: vec![],
        sagas: vec![],
        skipped: None,
        team: None,
        about: None,
    }
}

pub(crate) fn system(services: Vec<ServicePlan>) -> SystemPlan {
    SystemPlan {
        system: "shop".into(),
        root: "/system".into(),
        manifests: vec![],
        builds: BTreeMap::new(),
        services,
        gateways: vec![("web".into(), "127.0.0.1:8080".into())],
        tls: BTreeMap::new(),
        console: "127.0.0.1:7070".into(),
        store: "sqlite:/x".into(),
        trusted_proxies: vec![],
        issuers: BTreeMap::new(),
        built_in_policy: policy(),
        mesh: None,
    }
}
