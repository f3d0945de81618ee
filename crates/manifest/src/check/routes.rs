//! Gateway routes: that each can be reached, and that no two take the same requests.

use super::system::layer;
use super::{World, traffic};
use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::doc::route::{FieldChangesDoc, MatchDoc, RouteDoc};
use crate::load::Service;
use crate::lower::{matches, route_policy};
use crate::openapi::Contract;
use crate::source::{At, Span};
use crate::value::{Host, UrlPath, field_name, is_token, pattern};
use ondol_core::wire::proxy::{PathMatch, RouteMatch};

pub(super) fn check(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    for service in &world.parts.services {
        for route in &service.doc.routes {
            path(world, &route.r#match.value, found);
            calls(world, &route.r#match.value, found);
            headers(&route.r#match.value, found);
            names(world, route, found);
            start(world, route, found);
            redirect(world, route, found);
            changed_urls(route, found);
            traffic::check(world, route, found);
            for changes in [&route.request_headers, &route.response_headers].into_iter().flatten() {
                field_changes(changes, found);
            }
            limit(world, service, route, found);
            layer(world, &route.layer(), found);
            in_contract(service, route, found);
        }
    }
    same(world, found);
}

fn path(world: &World<'_>, doc: &MatchDoc, found: &mut Vec<Diagnostic>) {
    let ways = [
        doc.path.as_ref().map(|p| p.at),
        doc.prefix.as_ref().map(|p| p.at),
        doc.regex.as_ref().map(|p| p.at),
        doc.grpc.as_ref().map(|p| p.at),
    ];
    let ways: Vec<Span> = ways.into_iter().flatten().collect();
    match ways.as_slice() {
        [] if world.broken_within(doc.at) => {}
        [] => found.push(Diagnostic::error(
            Code::MissingKey,
            doc.at,
            "a match needs one of `path`, `prefix`, `regex` and `grpc`",
        )),
        [_] => {}
        [first, second, ..] => {
            let here = Diagnostic::error(
                Code::Conflict,
                *second,
                "a match has one of `path`, `prefix`, `regex` and `grpc`",
            );
            found.push(here.note(*first, "first here"));
        }
    }
}

/// A gRPC match names something, and says nothing that calls have no choice in.
fn calls(world: &World<'_>, doc: &MatchDoc, found: &mut Vec<Diagnostic>) {
    let Some(grpc) = &doc.grpc else { return };
    if grpc.value.service.is_none() && grpc.value.method.is_none() && !world.broken_within(grpc.at) {
        let message = "a gRPC match needs a `service`, a `method`, or both";
        let hint = "for every call, write `prefix: /` instead of `grpc`";
        found.push(Diagnostic::error(Code::MissingKey, grpc.at, message).hint(hint));
    }
    if let Some(PathMatch::Regex(text)) = matches(doc).map(|found| found.path)
        && let Err(why) = pattern(&text)
    {
        let here = Diagnostic::error(Code::Value, grpc.at, format!("together `{text}` is {why}"));
        found.push(here.hint("each part is one alone; leave out flags such as `(?x)`, or make them smaller"));
    }
    if let Some(method) = doc.methods.first() {
        let message = "calls of gRPC are always `POST`: a match with `grpc` has no `methods`";
        found.push(Diagnostic::error(Code::Conflict, method.at, message).note(grpc.at, "the gRPC match"));
    }
}

fn headers(doc: &MatchDoc, found: &mut Vec<Diagnostic>) {
    for (name, _) in doc.headers.iter().filter(|(name, _)| !is_token(name)) {
        found.push(Diagnostic::error(
            Code::Value,
            name.at,
            format!("`{}` is no name of a header", name.value),
        ));
    }
}

fn names(world: &World<'_>, route: &RouteDoc, found: &mut Vec<Diagnostic>) {
    if let (Some(auth), Some(system)) = (&route.auth, world.system()) {
        let issuers = || {
            system
                .gateway
                .iter()
                .flat_map(|gateway| gateway.issuers.iter())
                .map(|(name, _)| name.value.as_str())
        };
        if !issuers().any(|name| name == auth.issuer.value) {
            let known: Vec<&str> = issuers().collect();
            let message = format!("there is no issuer `{}`", *auth.issuer);
            let here = Diagnostic::error(Code::UnknownName, auth.issuer.at, message);
            let empty = known
                .is_empty()
                .then(|| "name it in ondol.yaml, under `gateway.issuers`".to_owned());
            found.push(here.maybe_hint(suggest(&auth.issuer, known.iter().copied()).or(empty)));
        }
    }
    if let Some(start) = &route.start {
        let sagas = || world.parts.sagas.iter().map(|saga| saga.doc.saga.value.as_str());
        let name = start.saga.value.as_str();
        if !sagas().any(|saga| saga == name) && !world.parts.broken_sagas.contains(name) {
            let here = Diagnostic::error(Code::UnknownName, start.saga.at, format!("there is no saga `{name}`"));
            let known: Vec<&str> = sagas().collect();
            let empty = known
                .is_empty()
                .then(|| "name its file in a service.yaml, under `sagas`".to_owned());
            found.push(here.maybe_hint(suggest(name, known.iter().copied()).or(empty)));
        }
    }
}

fn start(world: &World<'_>, route: &RouteDoc, found: &mut Vec<Diagnostic>) {
    let Some(start) = &route.start else { return };
    if route.name.is_none() && !world.broken_within(route.at) {
        let here = Diagnostic::error(Code::MissingKey, route.at, "a route with `start` needs a `name`");
        found.push(here.hint("idempotency keys are kept under it, so it may not change with the list's order"));
    }
    let fixed = [
        ("timeout", route.timeout.map(|value| value.at)),
        ("stream", route.stream.map(|value| value.at)),
        ("retries", route.retries.map(|value| value.at)),
        ("cache", route.cache.as_ref().map(|cache| cache.at(|doc| doc.at))),
        (
            "fallback",
            route.fallback.as_ref().map(|fallback| fallback.at(|doc| doc.at)),
        ),
    ];
    for (key, at) in fixed.into_iter().filter_map(|(key, at)| Some((key, at?))) {
        let here = Diagnostic::error(Code::Conflict, at, format!("a route with `start` takes no `{key}`"));
        found.push(
            here.note(start.at, "starts a saga")
                .hint("its timeout is `wait` and 12 s, and it has one try"),
        );
    }
    // Longer than a day is no wait, but a mistake in the unit.
    if start.wait.value.0 > 86_400_000 {
        found.push(Diagnostic::error(
            Code::Value,
            start.wait.at,
            "nobody waits longer than a day for an answer",
        ));
    }
}

/// A redirect is answered at once, so what speaks of a service beside it has no meaning.
fn redirect(world: &World<'_>, route: &RouteDoc, found: &mut Vec<Diagnostic>) {
    let Some(redirect) = &route.redirect else { return };
    let beside = [
        ("start", route.start.as_ref().map(|doc| doc.at)),
        ("rewrite", route.rewrite.as_ref().map(|doc| doc.at)),
        ("request_headers", route.request_headers.as_ref().map(|doc| doc.at)),
        ("stream", route.stream.map(|value| value.at)),
        ("timeout", route.timeout.map(|value| value.at)),
        ("retries", route.retries.map(|value| value.at)),
        ("breaker", route.breaker.as_ref().map(|doc| doc.at)),
        ("priority", route.priority.map(|value| value.at)),
        ("hedge", route.hedge.as_ref().map(|doc| doc.at)),
        (
            "balance",
            route.balance.as_ref().map(|balance| balance.at(|doc| doc.at)),
        ),
        ("cache", route.cache.as_ref().map(|cache| cache.at(|doc| doc.at))),
        (
            "fallback",
            route.fallback.as_ref().map(|fallback| fallback.at(|doc| doc.at)),
        ),
    ];
    for (key, at) in beside.into_iter().filter_map(|(key, at)| Some((key, at?))) {
        let here = Diagnostic::error(Code::Conflict, at, format!("a route with `redirect` takes no `{key}`"));
        found.push(here.note(redirect.at, "the request goes no further"));
    }
    let changes = redirect.scheme.is_some()
        || redirect.host.is_some()
        || redirect.port.is_some()
        || redirect.path.is_some()
        || redirect.prefix.is_some();
    if !changes && !world.broken_within(redirect.at) {
        let message = "a redirect changes at least one of `scheme`, `host`, `port`, `path` and `prefix`";
        found.push(
            Diagnostic::error(Code::MissingKey, redirect.at, message).hint("else the client comes back for ever"),
        );
    }
}

/// Hosts and paths that requests are changed to.
fn changed_urls(route: &RouteDoc, found: &mut Vec<Diagnostic>) {
    let redirect = route.redirect.as_ref().map(|doc| (&doc.host, &doc.path, &doc.prefix));
    let rewrite = route.rewrite.as_ref().map(|doc| (&doc.host, &doc.path, &doc.prefix));
    for (host, path, prefix) in [redirect, rewrite].into_iter().flatten() {
        changed_host(host.as_ref(), found);
        changed_path(route, path.as_ref(), prefix.as_ref(), found);
    }
    if let (Some(rewrite), Some(start)) = (&route.rewrite, &route.start) {
        let here = Diagnostic::error(Code::Conflict, rewrite.at, "a route with `start` takes no `rewrite`");
        found.push(here.note(start.at, "the request goes to no service"));
    }
}

fn changed_host(host: Option<&At<Host>>, found: &mut Vec<Diagnostic>) {
    if let Some(host) = host.filter(|host| host.value.0.starts_with("*.")) {
        found.push(Diagnostic::error(
            Code::Value,
            host.at,
            "a request goes to one host, not to a pattern",
        ));
    }
}

fn changed_path(
    route: &RouteDoc,
    path: Option<&At<UrlPath>>,
    prefix: Option<&At<UrlPath>>,
    found: &mut Vec<Diagnostic>,
) {
    let Some(prefix) = prefix else { return };
    if let Some(path) = path {
        let here = Diagnostic::error(
            Code::Conflict,
            prefix.at,
            "one of `path` and `prefix` says what the path becomes",
        );
        found.push(here.note(path.at, "first here"));
    }
    let matches = &route.r#match.value;
    if matches.prefix.is_none() {
        let here = Diagnostic::error(Code::Conflict, prefix.at, "there is no prefix to replace");
        found.push(
            here.note(matches.at, "this match has none")
                .hint("match by `prefix`, or give the whole `path`"),
        );
    }
}

pub(super) fn field_changes(changes: &FieldChangesDoc, found: &mut Vec<Diagnostic>) {
    for (name, _) in changes.set.iter().chain(changes.add.iter()) {
        if let Err(why) = field_name(&name.value) {
            found.push(Diagnostic::error(Code::Value, name.at, why));
        }
    }
}

fn limit(world: &World<'_>, service: &Service, route: &RouteDoc, found: &mut Vec<Diagnostic>) {
    let (Some(limit), Some(system)) = (&route.limit, world.system()) else {
        return;
    };
    if route_policy(system, &service.doc, route).limit.is_none() && !world.broken_within(limit.at) {
        found.push(
            Diagnostic::error(Code::MissingKey, limit.at, "a limit needs a `rate`")
                .hint("as `rate: 50/s`, here or in `defaults`"),
        );
    }
}

/// A route that leads to nothing that the contract has.
fn in_contract(service: &Service, route: &RouteDoc, found: &mut Vec<Diagnostic>) {
    let (Some(api), None, None, None) = (&service.api, &route.start, &route.redirect, &route.rewrite) else {
        return;
    };
    let mut backends = route.backends.iter();
    if !route.backends.is_empty() && !backends.any(|backend| backend.service.value == service.name) {
        return;
    }
    let Some(wanted) = matches(&route.r#match.value) else {
        return;
    };
    let methods = wanted
        .methods
        .iter()
        .map(|method| method.to_ascii_lowercase())
        .collect::<Vec<_>>();
    if !api.paths().any(|(path, item)| {
        takes(&wanted.path, path) && (methods.is_empty() || methods.iter().any(|method| item.get(method).is_some()))
    }) {
        let message = format!(
            "the contract of `{}` has nothing that this route leads to",
            service.name
        );
        found.push(
            Diagnostic::warning(Code::RouteOutsideContract, route.r#match.at, message)
                .note(start_of(api), "the contract"),
        );
    }
}

fn start_of(api: &Contract) -> Span {
    Span {
        file: api.file,
        start: 0,
        end: 0,
    }
}

/// Whether some instance of a contract's path may fit the match. Unknown counts as yes.
fn takes(wanted: &PathMatch, known: &str) -> bool {
    let same = |a: &str, b: &str| a == b || b.contains('{');
    match wanted {
        PathMatch::Exact(path) => {
            let (a, b): (Vec<_>, Vec<_>) = (path.split('/').collect(), known.split('/').collect());
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same(a, b))
        }
        PathMatch::Prefix(prefix) => {
            let (a, b): (Vec<_>, Vec<_>) = (
                prefix.trim_end_matches('/').split('/').collect(),
                known.split('/').collect(),
            );
            a.len() <= b.len() && a.iter().zip(&b).all(|(a, b)| same(a, b))
        }
        PathMatch::Regex(_) => true,
    }
}

struct Taken<'a> {
    service: &'a Service,
    at: Span,
    wanted: RouteMatch,
}

/// Pairs of routes that some request fits equally well by every rule of precedence: path kind and length, method,
/// number of headers, number of query parameters. Then only their order would decide, and that is no one's to know.
fn same(world: &World<'_>, found: &mut Vec<Diagnostic>) {
    let mut taken: Vec<Taken<'_>> = Vec::new();
    for service in &world.parts.services {
        for route in &service.doc.routes {
            let Some(mut wanted) = matches(&route.r#match.value) else {
                continue;
            };
            wanted.headers.sort_by(|a, b| a.0.cmp(&b.0));
            wanted.query.sort_by(|a, b| a.0.cmp(&b.0));
            let at = route.r#match.at;
            if let Some(other) = taken.iter().find(|other| indistinct(&other.wanted, &wanted)) {
                let message = format!(
                    "the same requests already go to `{}`; nothing tells these two routes apart",
                    other.service.name
                );
                let here = Diagnostic::error(Code::SameRoute, at, message).note(other.at, "the other route");
                found.push(
                    here.hint("give one of them another path, other methods, a host, a header or a query parameter"),
                );
            }
            taken.push(Taken { service, at, wanted });
        }
    }
}

fn indistinct(a: &RouteMatch, b: &RouteMatch) -> bool {
    let path = match (&a.path, &b.path) {
        (PathMatch::Prefix(a), PathMatch::Prefix(b)) => a.trim_end_matches('/') == b.trim_end_matches('/'),
        (a, b) => a == b,
    };
    let common = |a: &[String], b: &[String]| (a.is_empty() && b.is_empty()) || a.iter().any(|one| b.contains(one));
    path && common(&a.methods, &b.methods) && common(&a.hosts, &b.hosts) && a.headers == b.headers && a.query == b.query
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::wire::proxy::ValueMatch;

    fn wanted(path: PathMatch, methods: &[&str], hosts: &[&str], header: Option<&str>) -> RouteMatch {
        let list = |items: &[&str]| items.iter().map(|item| item.to_string()).collect();
        let headers = header
            .iter()
            .map(|value| ("x".to_owned(), ValueMatch::Exact(value.to_string())))
            .collect();
        RouteMatch {
            path,
            methods: list(methods),
            hosts: list(hosts),
            headers,
            query: Vec::new(),
        }
    }

    #[test]
    fn two_routes_are_one_only_when_every_rule_of_precedence_ties() {
        let (exact, prefix) = (
            |p: &str| PathMatch::Exact(p.into()),
            |p: &str| PathMatch::Prefix(p.into()),
        );
        for (a, b, want) in [
            (
                wanted(prefix("/a"), &[], &[], None),
                wanted(prefix("/a/"), &[], &[], None),
                true,
            ),
            (
                wanted(prefix("/a"), &[], &[], None),
                wanted(exact("/a"), &[], &[], None),
                false,
            ),
            (
                wanted(exact("/a"), &["GET"], &[], None),
                wanted(exact("/a"), &["POST"], &[], None),
                false,
            ),
            (
                wanted(exact("/a"), &["GET", "POST"], &[], None),
                wanted(exact("/a"), &["POST"], &[], None),
                true,
            ),
            (
                wanted(exact("/a"), &[], &[], None),
                wanted(exact("/a"), &["POST"], &[], None),
                false,
            ),
            (
                wanted(exact("/a"), &[], &["x.y"], None),
                wanted(exact("/a"), &[], &["x.z"], None),
                false,
            ),
            (
                wanted(exact("/a"), &[], &["x.y"], None),
                wanted(exact("/a"), &[], &["x.y", "x.z"], None),
                true,
            ),
            (
                wanted(exact("/a"), &[], &[], Some("1")),
                wanted(exact("/a"), &[], &[], Some("2")),
                false,
            ),
        ] {
            assert_eq!(indistinct(&a, &b), want, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_match_leads_to_a_contract_path_by_segments() {
        for (wanted, known, want) in [
            (PathMatch::Exact("/a/x".into()), "/a/{id}", true),
            (PathMatch::Exact("/a".into()), "/a/{id}", false),
            (PathMatch::Prefix("/a".into()), "/a/{id}/b", true),
            (PathMatch::Prefix("/".into()), "/a", true),
            (PathMatch::Prefix("/b".into()), "/a", false),
        ] {
            assert_eq!(takes(&wanted, known), want, "{wanted:?} {known}");
        }
    }
}
