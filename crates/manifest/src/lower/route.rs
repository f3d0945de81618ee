//! Gateway routes with their policies merged.

use crate::doc::route::{MatchDoc, RouteDoc, ValueRegexDoc};
use crate::doc::service::ServiceDoc;
use crate::doc::system::SystemDoc;
use crate::load::Service;
use crate::policy::{Effective, merge};
use crate::read::Named;
use crate::source::{At, Span};
use crate::value::{Millis, Need, Short};
use ondol_core::id::{RouteName, ServiceName};
use ondol_core::wire::proxy::{Action, Auth, PathMatch, Route, RouteMatch, ValueMatch};

/// A route that starts a saga answers within its `wait` and this: 10 s for the step `visible_after`, 2 s for the way.
const START_MARGIN_MS: u64 = 12_000;

/// The name of the route at `index`, as written or made from its place.
pub fn route_name(service: &ServiceName, index: usize, route: &RouteDoc) -> Option<RouteName> {
    match &route.name {
        Some(name) => Some(name.value.clone()),
        None => RouteName::new(&format!("{service}-{}", index + 1)).ok(),
    }
}

/// What holds for a route: the system's policies, the service's, its own.
pub fn route_policy(system: &SystemDoc, service: &ServiceDoc, route: &RouteDoc) -> Effective {
    let levels = [system.defaults.as_ref(), service.defaults.as_ref()];
    let mut layers: Vec<_> = levels.into_iter().flatten().map(|level| level.layer()).collect();
    layers.push(route.layer());
    let mut effective = merge(&layers);
    if let Some(start) = &route.start {
        effective.timeout = At {
            value: Millis(start.wait.value.0.saturating_add(START_MARGIN_MS)),
            at: start.wait.at,
        };
        effective.retries = At {
            value: 0,
            at: Span::BUILT_IN,
        };
        effective.stream = At {
            value: false,
            at: Span::BUILT_IN,
        };
    }
    effective
}

/// The longest time that a running request may take, milliseconds; starts run at the controller, streams have no end.
pub fn longest_timeout_ms(system: &SystemDoc, service: &ServiceDoc) -> u64 {
    let forwarding = service.routes.iter().filter(|route| route.start.is_none());
    let policies = forwarding
        .map(|route| route_policy(system, service, route))
        .filter(|policy| !policy.stream.value);
    policies.map(|policy| policy.timeout.value.0).max().unwrap_or(0)
}

pub(super) fn routes(system: &SystemDoc, service: &Service) -> Vec<Route> {
    let routes = service.doc.routes.iter().enumerate();
    routes
        .filter_map(|(index, route)| lower(system, service, route_name(&service.name, index, route)?, route))
        .collect()
}

fn lower(system: &SystemDoc, service: &Service, name: RouteName, route: &RouteDoc) -> Option<Route> {
    let effective = route_policy(system, &service.doc, route);
    Some(Route {
        name,
        service: service.name.clone(),
        matches: matches(&route.r#match.value)?,
        auth: route.auth.as_ref().map(|auth| Auth {
            issuer: auth.issuer.value.clone(),
            scope: auth.scope.as_ref().map(|scope| scope.value.clone()),
            role: auth.role.as_ref().map(|role| role.value.clone()),
            forward: auth.forward.value,
        }),
        action: match &route.start {
            None => Action::Forward(service.name.clone()),
            Some(start) => Action::Start {
                saga: start.saga.value.clone(),
                wait_ms: start.wait.value.0,
                key_required: start.key.value == Need::Required,
            },
        },
        policy: effective.policy(),
        limit: effective.limit(),
    })
}

/// A match as the proxy takes it; `None` where it has no path, which a check refuses.
pub fn matches(doc: &MatchDoc) -> Option<RouteMatch> {
    let path = match (&doc.path, &doc.prefix, &doc.regex) {
        (Some(path), _, _) => PathMatch::Exact(path.value.0.clone()),
        (_, Some(prefix), _) => PathMatch::Prefix(prefix.value.0.clone()),
        (_, _, Some(regex)) => PathMatch::Regex(regex.value.0.clone()),
        _ => return None,
    };
    Some(RouteMatch {
        path,
        methods: doc.methods.iter().map(|method| method.value.0.clone()).collect(),
        hosts: doc.hosts.iter().map(|host| host.value.0.clone()).collect(),
        headers: values(&doc.headers, str::to_ascii_lowercase),
        query: values(&doc.query, str::to_owned),
    })
}

fn values(named: &Named<Short<At<String>, ValueRegexDoc>>, key: fn(&str) -> String) -> Vec<(String, ValueMatch)> {
    let value = |short: &Short<At<String>, ValueRegexDoc>| match short {
        Short::Short(text) => ValueMatch::Exact(text.value.clone()),
        Short::Long(doc) => ValueMatch::Regex(doc.regex.value.0.clone()),
    };
    named
        .iter()
        .map(|(name, short)| (key(&name.value), value(short)))
        .collect()
}
