//! Where a route's requests go: that the services are there and that the keys make sense together.

use super::World;
use super::routes::field_changes;
use crate::diagnostic::{Code, Diagnostic};
use crate::doc::route::RouteDoc;
use crate::doc::traffic::{CorsDoc, SessionDoc};
use crate::source::{At, Span};
use crate::value::Millis;
use ondol_core::id::ServiceName;

/// As in the Gateway API.
const LARGEST_WEIGHT: u32 = 1_000_000;

/// Tokens count whole seconds.
const SHORTEST_IDLE: Millis = Millis(1_000);

pub(super) fn check(world: &World<'_>, route: &RouteDoc, found: &mut Vec<Diagnostic>) {
    let backends: Vec<_> = route.backends.iter().map(|doc| &doc.service).collect();
    let mirrors: Vec<_> = route.mirrors.iter().map(|doc| &doc.service).collect();
    for services in [backends, mirrors] {
        known(world, &services, found);
    }
    for weight in route.backends.iter().map(|doc| doc.weight) {
        if weight.value > LARGEST_WEIGHT {
            let message = format!("a weight is at most {LARGEST_WEIGHT}");
            found.push(Diagnostic::error(Code::Value, weight.at, message));
        }
    }
    if let (Some(first), true) = (
        route.backends.first(),
        route.backends.iter().all(|doc| doc.weight.value == 0),
    ) {
        let here = Diagnostic::error(Code::Value, first.weight.at, "no backend of this route has a weight");
        found.push(here.hint("every request would be answered 500; leave `backends` out, or give one a weight"));
    }
    for doc in &route.backends {
        let changes = [&doc.request_headers, &doc.response_headers];
        changes.into_iter().flatten().for_each(|doc| field_changes(doc, found));
    }
    forwards(route, found);
    if let Some(doc) = &route.cors {
        cors(world, doc, found);
    }
    if let Some(doc) = &route.session {
        session(world, doc, found);
    }
}

fn known(world: &World<'_>, services: &[&At<ServiceName>], found: &mut Vec<Diagnostic>) {
    for (index, service) in services.iter().enumerate() {
        let name = service.value.as_str();
        let written = At {
            value: name.to_owned(),
            at: service.at,
        };
        world.known_service(&written, "requests go to", found);
        if let Some(first) = services[..index].iter().find(|other| other.value == service.value) {
            let here = Diagnostic::error(Code::DoubleName, service.at, format!("`{name}` is named twice"));
            found.push(here.note(first.at, "first here"));
        }
    }
}

/// A start and a redirect send nothing to a service.
fn forwards(route: &RouteDoc, found: &mut Vec<Diagnostic>) {
    let other = [
        ("start", route.start.as_ref().map(|doc| doc.at)),
        ("redirect", route.redirect.as_ref().map(|doc| doc.at)),
    ];
    let Some((other, why)) = other.into_iter().find_map(|(key, at)| Some((key, at?))) else {
        return;
    };
    let beside = [
        ("backends", route.backends.first().map(|doc| doc.at)),
        ("mirrors", route.mirrors.first().map(|doc| doc.at)),
        ("session", route.session.as_ref().map(|doc| doc.at)),
    ];
    for (key, at) in beside.into_iter().filter_map(|(key, at)| Some((key, at?))) {
        let here = Diagnostic::error(Code::Conflict, at, format!("a route with `{other}` takes no `{key}`"));
        found.push(here.note(why, "the request goes to no service"));
    }
}

fn cors(world: &World<'_>, doc: &CorsDoc, found: &mut Vec<Diagnostic>) {
    if doc.allow_origins.is_empty() && !world.broken_within(doc.at) {
        let here = Diagnostic::error(Code::MissingKey, doc.at, "`cors` needs `allow_origins`");
        found.push(here.hint("without one no page of another origin may use the route, as without `cors`"));
    }
    if let Some(any) = doc
        .expose_headers
        .iter()
        .find(|name| name.value.0 == "*" && doc.allow_credentials.value)
    {
        let message = "with credentials browsers take `*` for a header of that name";
        let here = Diagnostic::error(Code::Conflict, any.at, message);
        found.push(
            here.note(doc.allow_credentials.at, "credentials are allowed here")
                .hint("name the headers"),
        );
    }
    let any = doc.allow_origins.iter().find(|origin| origin.value.0 == "*");
    if let Some(any) = any.filter(|_| doc.allow_credentials.value) {
        let message = "every page in the world may act as the user who looks at it";
        let here = Diagnostic::error(Code::Conflict, any.at, message);
        found.push(
            here.note(doc.allow_credentials.at, "with the user's cookies")
                .hint("name the origins, or leave `allow_credentials` out"),
        );
    }
}

fn session(world: &World<'_>, doc: &SessionDoc, found: &mut Vec<Diagnostic>) {
    match (&doc.cookie, &doc.header) {
        (None, None) if !world.broken_within(doc.at) => found.push(Diagnostic::error(
            Code::MissingKey,
            doc.at,
            "a session needs one of `cookie` and `header`",
        )),
        (Some(cookie), Some(header)) => {
            let here = Diagnostic::error(Code::Conflict, header.at, "a session has one of `cookie` and `header`");
            found.push(here.note(cookie.at, "first here"));
        }
        _ => {}
    }
    if let Some(idle) = doc.idle_timeout.filter(|idle| idle.value < SHORTEST_IDLE) {
        let here = Diagnostic::error(Code::Value, idle.at, "a session is idle after `1s` at the earliest");
        found.push(here.hint("its token says in whole seconds when it was last used"));
    }
    if let (Some(idle), Some(most)) = (doc.idle_timeout, doc.absolute_timeout)
        && idle.value > most.value
    {
        let here = Diagnostic::error(
            Code::Conflict,
            idle.at,
            "the session is over before it can be idle so long",
        );
        found.push(here.note(most.at, "by its `absolute_timeout`"));
    }
    if !doc.permanent.value {
        return;
    }
    let at: Span = doc.permanent.at;
    if let Some(header) = &doc.header {
        let here = Diagnostic::error(Code::Conflict, at, "only a cookie can be permanent");
        found.push(here.note(header.at, "this session has a header"));
    } else if doc.absolute_timeout.is_none() && !world.broken_within(doc.at) {
        let here = Diagnostic::error(Code::MissingKey, at, "a permanent cookie needs `absolute_timeout`");
        found.push(here.hint("it says how long the browser keeps it, such as `absolute_timeout: 30d`"));
    }
}
