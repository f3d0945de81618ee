//! Gateway routes with their policies merged.

use super::traffic;
use crate::doc::route::{FieldChangesDoc, GrpcMatchDoc, MatchDoc, RedirectDoc, RewriteDoc, RouteDoc, ValueRegexDoc};
use crate::doc::service::ServiceDoc;
use crate::doc::system::SystemDoc;
use crate::load::Service;
use crate::policy::{Effective, merge};
use crate::read::Named;
use crate::source::{At, Span};
use crate::value::{FieldValue, Millis, Need, Short, UrlPath};
use ondol_core::id::{RouteName, ServiceName};
use ondol_core::wire::proxy::{
    Action, Auth, FieldChanges, PathChange, PathMatch, Redirect, Rewrite, Route, RouteMatch, ValueMatch,
};

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
        (effective.cache, effective.fallback) = (None, None);
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
    let forwarding = service
        .routes
        .iter()
        .filter(|route| route.start.is_none() && route.redirect.is_none());
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
        action: match (&route.start, &route.redirect) {
            (Some(start), _) => Action::Start {
                saga: start.saga.value.clone(),
                wait_ms: start.wait.value.0,
                key_required: start.key.value == Need::Required,
            },
            (None, Some(to)) => Action::Redirect(redirect(to)),
            (None, None) => traffic::forward(&service.name, route),
        },
        cors: route.cors.as_ref().map(traffic::cors),
        mirrors: traffic::mirrors(route),
        session: route.session.as_ref().and_then(traffic::session),
        rewrite: route.rewrite.as_ref().map(rewrite).unwrap_or_default(),
        request_fields: route.request_headers.as_ref().map(field_changes).unwrap_or_default(),
        response_fields: route.response_headers.as_ref().map(field_changes).unwrap_or_default(),
        policy: effective.policy(),
        limit: effective.limit(),
    })
}

fn redirect(doc: &RedirectDoc) -> Redirect {
    Redirect {
        scheme: doc.scheme.as_ref().map(|scheme| scheme.value.0.clone()),
        host: doc.host.as_ref().map(|host| host.value.0.clone()),
        port: doc.port.map(|port| port.value),
        path: path_change(doc.path.as_ref(), doc.prefix.as_ref()),
        status: doc.status.value.0,
    }
}

fn rewrite(doc: &RewriteDoc) -> Rewrite {
    Rewrite {
        host: doc.host.as_ref().map(|host| host.value.0.clone()),
        path: path_change(doc.path.as_ref(), doc.prefix.as_ref()),
    }
}

fn path_change(path: Option<&At<UrlPath>>, prefix: Option<&At<UrlPath>>) -> Option<PathChange> {
    let full = path.map(|path| PathChange::Full(path.value.0.clone()));
    full.or_else(|| prefix.map(|prefix| PathChange::Prefix(prefix.value.0.clone())))
}

pub(super) fn field_changes(doc: &FieldChangesDoc) -> FieldChanges {
    let pairs = |named: &Named<At<FieldValue>>| {
        let named = named.iter();
        named
            .map(|(name, value)| (name.to_ascii_lowercase(), value.value.0.clone()))
            .collect()
    };
    FieldChanges {
        remove: doc.remove.iter().map(|name| name.value.0.clone()).collect(),
        set: pairs(&doc.set),
        add: pairs(&doc.add),
    }
}

/// A match as the proxy takes it; `None` where it has no path, which a check refuses.
pub fn matches(doc: &MatchDoc) -> Option<RouteMatch> {
    let path = match (&doc.path, &doc.prefix, &doc.regex, &doc.grpc) {
        (Some(path), ..) => PathMatch::Exact(path.value.0.clone()),
        (_, Some(prefix), ..) => PathMatch::Prefix(prefix.value.0.clone()),
        (_, _, Some(regex), _) => PathMatch::Regex(regex.value.0.clone()),
        (.., Some(grpc)) => calls(&grpc.value)?,
        _ => return None,
    };
    let mut methods: Vec<_> = doc.methods.iter().map(|method| method.value.0.clone()).collect();
    if doc.grpc.is_some() {
        methods = vec!["POST".into()]; // As each call of gRPC is.
    }
    Some(RouteMatch {
        path,
        methods,
        hosts: doc.hosts.iter().map(|host| host.value.0.clone()).collect(),
        headers: values(&doc.headers, str::to_ascii_lowercase),
        query: values(&doc.query, str::to_owned),
    })
}

/// A service or a method of any name.
const ANY_NAME: &str = "[^/]+";

/// The paths of calls: `/SERVICE/METHOD`. The table's order of paths is then GRPCRoute's order of matches: both names, the
/// service alone, the method alone. An expression goes where its plain start puts it: behind the name of a service before
/// the service alone, else last.
fn calls(doc: &GrpcMatchDoc) -> Option<PathMatch> {
    use Short::{Long, Short as Plain};
    let of = |regex: &ValueRegexDoc| format!("(?:{})", regex.regex.value.0);
    let (service, method) = match (&doc.service, &doc.method) {
        (Some(Plain(service)), Some(Plain(method))) => {
            return Some(PathMatch::Exact(format!("/{}/{}", service.value.0, method.value.0)));
        }
        (Some(Plain(service)), None) => return Some(PathMatch::Prefix(format!("/{}", service.value.0))),
        (None, None) => return None,
        // Of what a name may have, an expression reads the dot alone as something else.
        (Some(Plain(service)), Some(Long(method))) => (service.value.0.replace('.', r"\."), of(method)),
        (Some(Long(service)), Some(Plain(method))) => (of(service), method.value.0.clone()),
        (Some(Long(service)), Some(Long(method))) => (of(service), of(method)),
        (Some(Long(service)), None) => (of(service), ANY_NAME.to_owned()),
        (None, Some(Plain(method))) => (ANY_NAME.to_owned(), method.value.0.clone()),
        (None, Some(Long(method))) => (ANY_NAME.to_owned(), of(method)),
    };
    Some(PathMatch::Regex(format!("/{service}/{method}")))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;
    use crate::value::{Pattern, ProtoName, ProtoWord};

    #[test]
    fn calls_are_found_by_their_path() {
        let span = Span {
            file: FileId(0),
            start: 0,
            end: 0,
        };
        let regex = |text: &str| ValueRegexDoc {
            at: span,
            regex: At {
                value: Pattern(text.into()),
                at: span,
            },
        };
        // `~` stands before an expression.
        let path = |service: Option<&str>, method: Option<&str>| {
            calls(&GrpcMatchDoc {
                at: span,
                service: service.map(|name| match name.strip_prefix('~') {
                    Some(text) => Short::Long(regex(text)),
                    None => Short::Short(At {
                        value: ProtoName(name.into()),
                        at: span,
                    }),
                }),
                method: method.map(|name| match name.strip_prefix('~') {
                    Some(text) => Short::Long(regex(text)),
                    None => Short::Short(At {
                        value: ProtoWord(name.into()),
                        at: span,
                    }),
                }),
            })
        };
        let expression = |text: &str| Some(PathMatch::Regex(text.into()));
        assert_eq!(path(Some("a.B"), Some("C")), Some(PathMatch::Exact("/a.B/C".into())));
        assert_eq!(path(Some("a.B"), None), Some(PathMatch::Prefix("/a.B".into())));
        assert_eq!(path(None, Some("C")), expression("/[^/]+/C"));
        assert_eq!(path(None, None), None);
        assert_eq!(path(Some("a.B"), Some("~C|D")), expression(r"/a\.B/(?:C|D)"));
        assert_eq!(path(Some("~a|b"), Some("C")), expression("/(?:a|b)/C"));
        assert_eq!(path(Some("~a|b"), Some("~C|D")), expression("/(?:a|b)/(?:C|D)"));
        assert_eq!(path(Some("~a|b"), None), expression("/(?:a|b)/[^/]+"));
        assert_eq!(path(None, Some("~C|D")), expression("/[^/]+/(?:C|D)"));
    }
}
